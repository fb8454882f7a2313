"""Makes small folders of images with which cases begin."""

import io
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


def prepare_folder(source: Path, tmp_path: Path, *more: object) -> Command:
    """Returns the command that prepares a folder of images into `tmp_path`/data."""
    words = ("--source", source, "--data", tmp_path / "data", "--workers", 1)
    return Command("datasets.prepare", "folder", *words, *more)
