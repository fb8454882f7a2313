"""Errors about converting images, and about reading the files that a conversion has made."""

import errno
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.access import TRAIN_FILE, open_search_data
from datasets.beton import convert, writer
from datasets.beton.format import HEADER, METADATA, METADATA_START
from datasets.loading.checks import check_beton, check_rows
from datasets.loading.epoch import Epoch
from datasets.loading.loader import batches
from tests.remedies.cases_datasets_archives import while_disk_is
from tests.remedies.harness import Attempt, Command, Refusal, Steps, case
from tests.remedies.images import image, prepare_folder, write_images

CONVERT, CHECKS = "datasets/beton/convert.py", "datasets/loading/checks.py"
EPOCH, LOADER = "datasets/loading/epoch.py", "datasets/loading/loader.py"
FAULTS = (f"{CONVERT}::_check_class_sizes", "DatasetError(faults)")


@case(
    f"{CONVERT}::_broken_message", "broken in",
    f"{CONVERT}::convert", "_broken_message",
)  # fmt: skip
def a_broken_image(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src")
    (source / "train" / "cat" / "99.jpg").write_bytes(image(99)[:100])
    refusal = yield prepare_folder(source, tmp_path)
    assert "1 image is broken" in refusal.text
    assert "train/cat/99.jpg" in refusal.text
    return refusal.command()


@case(f"{CONVERT}::_check_class_sizes", "good images in", *FAULTS)
def classes_with_too_few_images(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src", each=1)
    refusal = yield prepare_folder(source, tmp_path)
    least = int(refusal.find(r"at least (\d) good images in train"))
    for name in ("cat", "dog"):
        for number in range(least - 1):
            (source / "train" / name / f"{name}{number}.jpg").write_bytes(image(len(name) + 50))
    write_images(tmp_path / "more", splits=("train",))
    for name in ("cat", "dog"):
        for path in (tmp_path / "more" / "train" / name).iterdir():
            path.rename(source / "train" / name / f"more{path.name}")


@case("datasets/beton/describe.py::_check_val", "copies of one another")
def a_class_of_copies(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src")
    for path in (source / "train" / "cat").iterdir():
        path.write_bytes(image(50))
    refusal = yield prepare_folder(source, tmp_path)
    name = refusal.find(r"the images of (\w+) are copies of one another; add others")
    for number in range(60, 63):
        (source / "train" / name / f"{number}.jpg").write_bytes(image(number))


@case(
    f"{CONVERT}::check_listing", "DatasetError(lacking)",
    "common/files.py::describe_lacking_space", "of free disk space",
)  # fmt: skip
def too_little_space_for_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    usage = shutil.disk_usage(tmp_path)

    def free(folder: Path) -> object:
        return usage._replace(free=1000) if "data" in Path(folder).parts else usage

    monkeypatch.setattr(shutil, "disk_usage", free)
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path)
    refusal = yield command
    assert "use another --data folder" in refusal.text
    return command.replace(tmp_path / "data", tmp_path / "another")


@case(f"{CONVERT}::convert", "_disk_error", f"{CONVERT}::_disk_error", "is full")
def a_disk_that_fills_up_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    full = [errno.ENOSPC]
    monkeypatch.setattr(os, "fsync", while_disk_is(full, os.fsync))
    refusal = yield prepare_folder(write_images(tmp_path / "src"), tmp_path)
    assert "free some space" in refusal.text
    full.clear()


@case(f"{CONVERT}::convert", "_disk_error", f"{CONVERT}::_disk_error", "Converting into")
def a_disk_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    faulty = [errno.EIO]
    monkeypatch.setattr(os, "fsync", while_disk_is(faulty, os.fsync))
    refusal = yield prepare_folder(write_images(tmp_path / "src"), tmp_path)
    assert "then run it again" in refusal.text
    faulty.clear()


@case(f"{CONVERT}::convert", "A decoding process was killed")
def a_decoding_process_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    @contextmanager
    def killing(*_: object) -> Iterator[Callable[[int], None]]:
        yield lambda _: [child.kill() for child in multiprocessing.active_children()] and None

    monkeypatch.setattr(convert, "progress", killing)
    source = write_images(tmp_path / "src")
    words = ("--source", source, "--data", tmp_path / "data", "--workers", 2)
    refusal = yield Command("datasets.prepare", "folder", *words)
    return refusal.command()


@case("datasets/beton/writer.py::verify_beton", "reads back other than it was written")
def a_disk_that_changes_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    finish = writer._finish

    def flip_a_bit(file: object, *more: object) -> None:
        finish(file, *more)
        path = Path(file.name)
        file.flush()
        if tmp_path / "data" in path.parents:
            content = bytearray(path.read_bytes())
            content[(1 << 21) + 100] ^= 1
            path.write_bytes(content)

    monkeypatch.setattr(writer, "_finish", flip_a_bit)
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path)
    refusal = yield command
    assert "use another --data folder" in refusal.text
    return command.replace(tmp_path / "data", tmp_path / "another")


def make_anew(refusal: Refusal, tmp_path: Path) -> None:
    """Runs the command that sentences about a beton print, with --source as they advise."""
    command = refusal.command(NAME="folder", DIR=tmp_path / "data")
    assert "with --source for images of your own" in refusal.text
    command.add("--source", tmp_path / "src", "--workers", 1)()


def beton(tmp_path: Path) -> Path:
    """Prepares a small dataset and returns its file of training images."""
    prepare_folder(write_images(tmp_path / "src"), tmp_path)()
    return tmp_path / "data" / "folder" / TRAIN_FILE


@case(f"{CHECKS}::check_beton", "can't be read")
def a_beton_that_is_gone(tmp_path: Path) -> Steps:
    path = beton(tmp_path)
    path.unlink()
    refusal = yield lambda: check_beton(path)
    make_anew(refusal, tmp_path)


@case(f"{CHECKS}::check_beton", "{} is cut short at {} bytes; {}")
def a_beton_without_a_header(tmp_path: Path) -> Steps:
    path = beton(tmp_path)
    os.truncate(path, 5)
    refusal = yield lambda: check_beton(path)
    make_anew(refusal, tmp_path)


@case(f"{CHECKS}::check_beton", "{} is cut short at {} bytes; {} #2")
def a_beton_without_its_end(tmp_path: Path) -> Steps:
    path = beton(tmp_path)
    os.truncate(path, path.stat().st_size - 5)
    refusal = yield lambda: check_beton(path)
    make_anew(refusal, tmp_path)


@case(f"{CHECKS}::check_beton", "half-written")
def a_half_written_beton(tmp_path: Path) -> Steps:
    path = beton(tmp_path)
    with path.open("r+b") as file:
        file.write(bytes(HEADER.itemsize))
    refusal = yield lambda: check_beton(path)
    make_anew(refusal, tmp_path)


@case(f"{CHECKS}::check_rows", "images aren't where it says")
def a_beton_with_wrong_positions(tmp_path: Path) -> Steps:
    path = beton(tmp_path)
    with path.open("r+b") as file:
        file.seek(METADATA_START)
        file.write(b"\xff" * METADATA.itemsize)
    refusal = yield lambda: check_rows(path, check_beton(path))
    make_anew(refusal, tmp_path)


def read_all(tmp_path: Path, **changes: object) -> Attempt:
    """Returns an attempt to read the training images."""

    def attempt() -> None:
        split = open_search_data(tmp_path / "data" / "folder").train
        indices = np.asarray(changes.get("indices", split.indices), dtype=np.int64)
        size = int(str(changes.get("batch_size", 2)))
        order = batches(
            replace(split, indices=indices), size, order_seed=0, drop_last=False, deadline_s=0.3
        )
        for _ in order:
            pass

    return attempt


@case(f"{LOADER}::epoch_order", "batch_size must be")
def batches_of_nothing(tmp_path: Path) -> Steps:
    beton(tmp_path)
    refusal = yield read_all(tmp_path, batch_size=0)
    return read_all(tmp_path, batch_size=refusal.find(r"must be ≥ (\d)"))


@case(f"{LOADER}::epoch_order", "asks for number")
def an_index_beyond_the_images(tmp_path: Path) -> Steps:
    beton(tmp_path)
    refusal = yield read_all(tmp_path, indices=[0, 99])
    make_anew(refusal, tmp_path)
    return read_all(tmp_path)


@case(f"{EPOCH}::next_batch", "failed")
def a_reading_thread_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    beton(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Epoch, "run_pipeline", fail)
        refusal = yield read_all(tmp_path)
    refusal.command(NAME="folder", DIR=tmp_path / "data")()


@case(f"{EPOCH}::next_batch", "gave no batch", beyond="a disk is checked by its own tools")
def a_disk_that_gives_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    beton(tmp_path)
    monkeypatch.setattr(Epoch, "run_pipeline", lambda *_: time.sleep(1))
    refusal = yield read_all(tmp_path)
    assert "for 0.3 s; check the disk that it lies on." in refusal.text
