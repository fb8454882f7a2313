"""Makes small folders of images with which cases begin."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from tests.remedies.harness import Command

CLASSES = ("cat", "dog")


def image(number: int, side: int = 32) -> bytes:
    """Returns a JPEG of noise, another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def write_images(
    root: Path, splits: tuple[str, ...] = ("train", "test"), each: int = 4, side: int = 32
) -> Path:
    """Writes ROOT/SPLIT/CLASS/N.jpg with `each` images of `side` px a class, and returns `root`."""
    number = 0
    for split in splits:
        for name in CLASSES:
            folder = root / split / name
            folder.mkdir(parents=True)
            for _ in range(each):
                number += 1
                (folder / f"{number}.jpg").write_bytes(image(number, side))
    return root


class _UnmarkedName(zipfile.ZipInfo):
    """Stores its name in code page 437 without saying so, as old programs do."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802  # zipfile's own name
        return self.filename.encode("cp437"), self.flag_bits & ~0x800


def zip_images(tmp_path: Path, name: str) -> Path:
    """Writes an archive of two classes, one of which is called `name`, in code page 437, and
    returns its path.
    """
    root, path = write_images(tmp_path / "unpacked"), tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*.jpg")):
            inside = str(file.relative_to(root)).replace("/cat/", f"/{name}/")
            archive.writestr(_UnmarkedName(inside), file.read_bytes())
    return path


def prepare_folder(source: Path, tmp_path: Path, *more: object) -> Command:
    """Returns the command that prepares a folder of images into `tmp_path`/data."""
    words = ("--source", source, "--data", tmp_path / "data", "--workers", 1)
    return Command("datasets.prepare", "folder", *words, *more)
