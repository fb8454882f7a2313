"""Which files `trainables.predict` reads: folders, patterns, and what else lies there."""

import os
from pathlib import Path

import numpy as np
import pytest

from trainables.final_model.inference import image_batches
from trainables.final_model.inference.image_batches import MOST_THREADS, SLICE_IMAGES, read_batches
from trainables.final_model.inference.image_files import find_images

PNG = b"\x89PNG\r\n\x1a\n"


def make(root: Path, *names: str) -> None:
    """Writes files that look like images by name or by their first bytes."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PNG)


def test_a_folder_gives_its_images_by_number_and_names_the_rest(tmp_path: Path) -> None:
    make(
        tmp_path, "test_10.JPEG", "test_2.JPEG", "test_1.JPEG", "b/c/x.png", "a/bare", ".git/y.png"
    )
    (tmp_path / "a" / "notes.txt").write_text("notes", encoding="utf-8")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    found = find_images([tmp_path])
    assert [str(path.relative_to(tmp_path)) for path in found.images] == [
        "test_1.JPEG", "test_2.JPEG", "test_10.JPEG", "a/bare", "b/c/x.png",
    ]  # fmt: skip
    assert [each.path for each in found.left_out] == [
        str(tmp_path / "pipe"), str(tmp_path / "a" / "notes.txt"),
    ]  # fmt: skip
    assert {reason: each["count"] for reason, each in found.hidden.facts().items()} == {
        "hidden": 1, "loop": 1,
    }  # fmt: skip


def test_patterns_files_and_folders_may_overlap(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "a/b/2.png", "a/b/[x].png")
    found = find_images([tmp_path / "**" / "*.png", tmp_path / "a" / "b" / "[x].png", tmp_path])
    assert [path.name for path in found.images] == ["1.png", "2.png", "[x].png"]
    assert (found.repeated, found.left_out) == (4, [])
    for nothing in (tmp_path / "z*.png", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        (left_out,) = find_images([nothing, tmp_path / "a"]).left_out
        assert left_out.path == str(nothing)


def test_batches_keep_order_and_name_what_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = image_batches.decode_into

    def decode(data: bytes, out: np.ndarray, white: int | None) -> float | None:
        if not data:
            return right(data, out, white)
        out[:] = data[0]
        return None

    monkeypatch.setattr(image_batches, "decode_into", decode)
    paths = [tmp_path / f"{n}.png" for n in range(100)]
    for n, path in enumerate(paths):
        path.write_bytes(b"" if n % 10 == 3 else bytes([n]))
    for size in (1, 7, 16, 40, 1000):
        batches = list(read_batches(paths, 2, None, size, 3))
        assert len(batches) == -(-100 // size)
        pixels = np.concatenate([batch.pixels for batch in batches])
        wanted = [n for n in range(100) if n % 10 != 3]
        assert pixels[:, 0, 0, 0].tolist() == wanted
        assert [path for batch in batches for path in batch.paths] == [paths[n] for n in wanted]
        bad = [each.path for batch in batches for each in batch.left_out]
        assert bad == [str(paths[n]) for n in range(3, 100, 10)]


def test_only_a_few_images_are_decoded_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[Path]()

    def read_image(path: Path, side: int, _white: int | None) -> np.ndarray:
        read.append(path)
        return np.zeros((side, side, 3), dtype=np.uint8)

    monkeypatch.setattr(image_batches, "read_image", read_image)
    batches = read_batches([Path(str(n)) for n in range(10_000)], 2, None, 64, 4)
    for number in range(1, 4):
        assert len(next(batches).paths) == 64
        assert len(read) <= 64 * (number + 1) + 2 * MOST_THREADS * SLICE_IMAGES
    batches.close()
    assert len(read) < 1_000


def test_an_image_that_memory_lacks_for_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "1.png")

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(image_batches, "decode_into", fail)
    (batch,) = read_batches([tmp_path / "1.png"], 2, None, 8, 1)
    assert "must be an image, but MemoryError" in batch.left_out[0].sentence
