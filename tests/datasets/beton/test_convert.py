"""Conversion: what lands on disk is what was in the source, or nothing does."""

import errno
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.access import open_final_data, open_search_data
from datasets.beton import convert, writer
from datasets.beton.decode import DIGEST_BYTES, Chunk
from datasets.loading.loader import batches
from datasets.manifest import read_manifest, verify
from datasets.prepare import prepare
from datasets.spec import DatasetError
from datasets.splits import stratified_split

NAME = "tiny-imagenet"


@pytest.fixture
def source(tiny_folder: Path, tmp_path: Path) -> Path:
    """A folder of its own that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "source"))


def leftovers(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name != ".lock")


def read_train(directory: Path) -> tuple[np.ndarray, np.ndarray]:
    parts = list(batches(open_final_data(directory).train, 32, order_seed=None, drop_last=False))
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def test_pixels_and_labels_survive_and_statistics_are_exact(
    tiny_data: Path, tiny_folder: Path
) -> None:
    images, labels = read_train(tiny_data)
    paths = sorted((tiny_folder / "train").rglob("*.JPEG"))
    expected = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    assert np.array_equal(images, expected)
    assert labels.tolist() == [n // 20 for n in range(80)]
    manifest = read_manifest(tiny_data)
    rest, val = stratified_split(labels, 0.1)
    assert manifest.val == tuple(val)
    assert (manifest.train_images, manifest.val_images, manifest.test_images) == (72, 8, 24)
    assert (manifest.train_per_class, manifest.test_per_class) == ((20,) * 4, (6,) * 4)
    np.testing.assert_allclose(manifest.mean, images[rest].mean((0, 1, 2)) / 255, rtol=1e-12)
    np.testing.assert_allclose(manifest.std, images[rest].std((0, 1, 2)) / 255, rtol=1e-9)


def test_bytes_do_not_depend_on_workers_nor_content_on_the_path(
    tiny_zip: Path, tiny_data: Path, source: Path, tmp_path: Path
) -> None:
    one = read_manifest(tiny_data)
    three = prepare(NAME, source=tiny_zip, data=tmp_path / "three", workers=3)
    from_folder = prepare(NAME, source=source, data=tmp_path / "folder", workers=1)
    assert one.files == three.files == from_folder.files
    assert one.fingerprint == three.fingerprint == from_folder.fingerprint
    assert one.source_fingerprint == three.source_fingerprint != from_folder.source_fingerprint
    for name, facts in three.files.items():
        assert (tmp_path / "three" / NAME / name).stat().st_size == facts["bytes"]
    assert verify(tmp_path / "three" / NAME) == three


def test_fingerprint_follows_one_pixel_and_one_class_name(source: Path, tmp_path: Path) -> None:
    before = prepare(NAME, source=source, data=tmp_path / "1", workers=1)
    image = next((source / "train" / "n00000001" / "images").iterdir())
    pixels = np.array(Image.open(image))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(image, "PNG")
    changed = prepare(NAME, source=source, data=tmp_path / "2", workers=1)
    assert changed.fingerprint != before.fingerprint
    assert changed.files["test.beton"] == before.files["test.beton"]
    (source / "train" / "n00000004").rename(source / "train" / "n00000005")
    annotations = source / "val" / "val_annotations.txt"
    annotations.write_text(
        annotations.read_text(encoding="utf-8").replace("n00000004", "n00000005"), encoding="utf-8"
    )
    renamed = prepare(NAME, source=source, data=tmp_path / "3", workers=1)
    assert renamed.files == changed.files
    assert renamed.fingerprint != changed.fingerprint


def break_some(source: Path) -> list[Path]:
    train = sorted((source / "train" / "n00000002" / "images").iterdir())
    test = sorted((source / "val" / "images").iterdir())
    train[3].write_bytes(b"")
    train[7].write_bytes(train[7].read_bytes()[:500])
    test[0].write_bytes(b"no image")
    return [train[3], train[7], test[0]]


@pytest.mark.parametrize("workers", [1, 2])
def test_all_broken_images_are_named_and_nothing_is_left(
    source: Path, tmp_path: Path, workers: int
) -> None:
    broken = break_some(source)
    with pytest.raises(DatasetError, match="3 images are broken") as caught:
        prepare(NAME, source=source, data=tmp_path / "data", workers=workers)
    for path in broken:
        assert path.relative_to(source).as_posix() in str(caught.value)
    assert "--skip-broken" in str(caught.value)
    assert leftovers(tmp_path / "data" / NAME) == []


def test_skipping_broken_images_leaves_out_just_these(source: Path, tmp_path: Path) -> None:
    broken = break_some(source)
    manifest = prepare(NAME, source=source, data=tmp_path, workers=1, skip_broken=True)
    assert sorted(path for path, _ in manifest.skipped) == sorted(
        path.relative_to(source).as_posix() for path in broken
    )
    assert manifest.train_per_class == (20, 18, 20, 20)
    assert manifest.test_images == 23
    images, labels = read_train(tmp_path / NAME)
    good = [p for p in sorted((source / "train").rglob("*.JPEG")) if p not in broken]
    assert np.array_equal(images, np.stack([np.asarray(Image.open(path)) for path in good]))
    assert np.bincount(labels).tolist() == [20, 18, 20, 20]


def test_ten_broken_images_are_shown_and_the_rest_counted(source: Path, tmp_path: Path) -> None:
    for path in (source / "train" / "n00000001" / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DatasetError) as caught:
        prepare(NAME, source=source, data=tmp_path / "data", workers=1)
    lines = str(caught.value).splitlines()
    assert len(lines) == 12
    assert lines[-1].strip() == "… and 10 more"


def test_class_without_enough_good_images_is_named(source: Path, tmp_path: Path) -> None:
    for path in list((source / "train" / "n00000003" / "images").iterdir())[1:]:
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"at least 2 good images in train.*n00000003 has 1"):
        prepare(NAME, source=source, data=tmp_path / "data", workers=1, skip_broken=True)
    assert leftovers(tmp_path / "data" / NAME) == []


def test_gray_images_become_rgb_and_sizes_are_evened_out(source: Path, tmp_path: Path) -> None:
    path = sorted((source / "train" / "n00000001" / "images").iterdir())[0]
    Image.new("L", (200, 90), 123).save(path, "PNG")
    manifest = prepare(NAME, source=source, data=tmp_path, workers=1, size=48)
    images, _ = read_train(tmp_path / NAME)
    assert images.shape == (80, 48, 48, 3)
    assert manifest.image_size == open_search_data(tmp_path / NAME).images.size == 48
    assert np.unique(images[0]).tolist() == [123]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: a write over it is cut, the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def big_source(root: Path) -> Path:
    """Two classes of 130 different images: more than one page for train."""
    for part, count in (("train", 130), ("test", 2)):
        for class_id in ("a", "b"):
            (root / part / class_id).mkdir(parents=True)
            for number in range(count):
                colour = (number, ord(class_id), len(part))
                Image.new("RGB", (64, 64), colour).save(root / part / class_id / f"{number}.png")
    return root


@pytest.mark.parametrize("pages", [1.5, 2.5])
def test_write_that_is_cut_short_is_an_error_not_a_short_file(tmp_path: Path, pages: float) -> None:
    # 2.5 pages cut the last of two pages in the middle: no later write of it fails.
    source = big_source(tmp_path / "source")
    with (
        largest_file(int(pages * (1 << 21))),
        pytest.raises(DatasetError, match="nothing half-made"),
    ):
        prepare("folder", source=source, data=tmp_path / "data", workers=1)
    assert leftovers(tmp_path / "data" / "folder") == []
    assert prepare("folder", source=source, data=tmp_path / "data", workers=1).train_images == 234


def test_full_disk_midway_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = big_source(tmp_path / "source")

    def full(self: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writer._Pages, "flush", full)
    with pytest.raises(DatasetError, match=r"disk that holds .* is full and nothing half-made"):
        prepare("folder", source=source, data=tmp_path / "data", workers=2)
    assert leftovers(tmp_path / "data" / "folder") == []


def test_too_small_disk_is_refused_before_anything_is_written(
    tiny_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5_000_000))
    with pytest.raises(DatasetError, match=r"needs 13 MB of free disk space, but has 5 MB"):
        prepare(NAME, source=tiny_zip, data=tmp_path, workers=1)
    assert leftovers(tmp_path / NAME) == []


def test_faulty_disk_is_noticed_before_the_file_counts(
    tiny_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = writer._finish

    def flip_a_bit(file: Any, *more: Any) -> None:
        finish(file, *more)
        file.flush()
        with Path(file.name).open("r+b") as damaged:
            damaged.seek((1 << 21) + 12_345)
            byte = damaged.read(1)
            damaged.seek(-1, os.SEEK_CUR)
            damaged.write(bytes([byte[0] ^ 1]))

    monkeypatch.setattr(writer, "_finish", flip_a_bit)
    with pytest.raises(DatasetError, match="reads back other than it was written"):
        prepare(NAME, source=tiny_zip, data=tmp_path, workers=1)
    assert leftovers(tmp_path / NAME) == []


def test_worker_that_dies_is_an_error(
    tiny_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def killing(*_: object) -> Iterator[Callable[[int], None]]:
        yield lambda _: [child.kill() for child in multiprocessing.active_children()] and None

    monkeypatch.setattr(convert, "progress", killing)
    with pytest.raises(DatasetError, match=r"decoding process was killed.*--workers"):
        prepare(NAME, source=tiny_zip, data=tmp_path, workers=2)
    assert leftovers(tmp_path / NAME) == []


def test_a_beton_is_byte_for_byte_what_ffcv_itself_writes(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.beton", tmp_path / "theirs.beton"
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (400, 64, 64, 3), dtype=np.uint8)  # three pages
    labels = generator.integers(0, 7, 400)
    chunks = [
        Chunk(
            pixels=pixels[start:end],
            labels=labels[start:end],
            moments=np.zeros((end - start, 3, 2), dtype=np.int64),
            digests=np.zeros((end - start, DIGEST_BYTES), dtype=np.uint8),
            decoded=np.ones(end - start, dtype=np.bool_),
            peaks=np.empty(0, dtype=np.float64),
            broken=(),
        )
        for start, end in ((0, 90), (90, 91), (91, 400))
    ]
    writer.write_beton(ours, chunks, 400, lambda _: None)
    code = (
        "import sys, numpy as np\n"
        "from ffcv.writer import DatasetWriter\n"
        "from ffcv.fields import IntField, RGBImageField\n"
        "data = np.load(sys.argv[1])\n"
        "rows = list(zip(data['pixels'], data['labels'].tolist()))\n"
        "fields = {'image': RGBImageField(write_mode='raw'), 'label': IntField()}\n"
        "writer = DatasetWriter(sys.argv[2], fields, page_size=1 << 21, num_workers=1)\n"
        "writer.from_indexed_dataset(rows)\n"
    )
    np.savez(tmp_path / "data.npz", pixels=pixels, labels=labels)
    command = [sys.executable, "-c", code, str(tmp_path / "data.npz"), str(theirs)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert ours.read_bytes() == theirs.read_bytes()
