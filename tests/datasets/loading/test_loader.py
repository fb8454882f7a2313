"""Batches: the right images, in the asked order, and no trap of FFCV's left open."""

import gc
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.access import open_final_data, open_search_data
from datasets.loading.epoch import Epoch
from datasets.loading.loader import batches
from datasets.prepare import prepare
from datasets.spec import DatasetError
from datasets.splits import SearchData, Split

ROOT = Path(__file__).parents[3]


@pytest.fixture
def search(tiny_data: Path) -> SearchData:
    return open_search_data(tiny_data)


@pytest.fixture(scope="module")
def truth(tiny_folder: Path) -> np.ndarray:
    """The official training images, decoded by Pillow, in the file's order."""
    paths = sorted((tiny_folder / "train").rglob("*.JPEG"))
    return np.stack([np.asarray(Image.open(path)) for path in paths])


def reading_threads() -> int:
    return sum(isinstance(thread, Epoch) for thread in threading.enumerate())


def indices_of(images: torch.Tensor, truth: np.ndarray) -> list[int]:
    """Which of the true images each image is, to the last pixel."""
    known = {image.tobytes(): number for number, image in enumerate(truth)}
    return [known[image.numpy().tobytes()] for image in images]


def test_kept_batches_hold_the_splits_images_in_its_order(
    search: SearchData, truth: np.ndarray
) -> None:
    # All batches are kept: views into FFCV's ring of buffers would be overwritten.
    kept = list(batches(search.train, 8, order_seed=None, drop_last=False))
    assert [len(images) for images, _ in kept] == [8] * 9
    images = torch.cat([images for images, _ in kept])
    labels = torch.cat([labels for _, labels in kept])
    assert (images.dtype, images.shape) == (torch.uint8, (72, 64, 64, 3))
    assert (labels.dtype, labels.shape) == (torch.int64, (72,))
    assert indices_of(images, truth) == search.train.indices.tolist()
    assert labels.tolist() == (search.train.indices // 20).tolist()


def test_tensors_are_the_callers_own(search: SearchData) -> None:
    first = list(batches(search.val, 4, order_seed=None, drop_last=False))
    for images, labels in first:
        images.zero_()
        labels.zero_()
    again = list(batches(search.val, 4, order_seed=None, drop_last=False))
    assert all(images.any() for images, _ in again)
    assert {t.untyped_storage().data_ptr() for t, _ in first}.isdisjoint(
        t.untyped_storage().data_ptr() for t, _ in again
    )


def test_shuffle_follows_the_seed_alone_and_takes_every_image_once(
    search: SearchData, truth: np.ndarray
) -> None:
    def order(split: Split, seed: int | None, batch_size: int) -> list[int]:
        parts = [x for x, _ in batches(split, batch_size, order_seed=seed, drop_last=False)]
        return indices_of(torch.cat(parts), truth)

    shuffled = order(search.train, 5, 16)
    np.random.seed(1)
    torch.manual_seed(1)
    order(search.val, 9, 8)
    assert order(search.train, 5, 7) == shuffled
    assert order(search.train, 6, 16) != shuffled
    assert shuffled != search.train.indices.tolist()
    assert sorted(shuffled) == search.train.indices.tolist()


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [32, 32, 8]), (True, [32, 32])])
def test_last_partial_batch(search: SearchData, drop_last: bool, sizes: list[int]) -> None:
    found = batches(search.train, 32, order_seed=1, drop_last=drop_last)
    assert [len(images) for images, _ in found] == sizes


def test_single_image_batches_keep_their_dimensions(search: SearchData) -> None:
    images, labels = next(batches(search.train, 1, order_seed=None, drop_last=False))
    assert (images.shape, labels.shape) == ((1, 64, 64, 3), (1,))


def test_batch_larger_than_the_split(search: SearchData) -> None:
    assert [len(x) for x, _ in batches(search.val, 500, order_seed=0, drop_last=False)] == [8]
    assert list(batches(search.val, 500, order_seed=0, drop_last=True)) == []


def test_two_passes_at_once_do_not_disturb_each_other(
    search: SearchData, truth: np.ndarray
) -> None:
    train = batches(search.train, 8, order_seed=None, drop_last=False)
    found = []
    for images, _ in train:
        found += indices_of(images, truth)
        inner = list(batches(search.val, 3, order_seed=None, drop_last=False))
        assert indices_of(torch.cat([x for x, _ in inner]), truth) == search.val.indices.tolist()
    assert found == search.train.indices.tolist()


def test_torch_threads_stay_as_they_are(search: SearchData) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (3, 2):
            torch.set_num_threads(threads)
            started = batches(search.train, 8, order_seed=0, drop_last=False)
            next(started)
            assert torch.get_num_threads() == threads
            started.close()
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


IMPORTED = """
import torch
torch.set_num_threads(3)
import numba.typed
dictionary = numba.typed.Dict
import time
start = time.process_time()
import datasets.loading.ffcv_import
assert time.process_time() - start < 2.5, "the typed dictionary was compiled"
assert torch.get_num_threads() == 3, torch.get_num_threads()
assert numba.typed.Dict is dictionary
"""


def test_importing_ffcv_is_quick_and_changes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED],
        cwd=ROOT,
        timeout=60,
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_leaving_early_leaves_no_thread_and_no_buffers(search: SearchData) -> None:
    started = time.monotonic()
    for number in range(30):
        left = batches(search.train, 4, order_seed=number, drop_last=False)
        for _ in range(number % 4 + 1):
            next(left)
        if number % 2:
            left.close()
        del left
        assert reading_threads() == 0
    assert time.monotonic() - started < 15
    gc.collect()
    epochs = [o for o in gc.get_objects() if type(o) is Epoch]
    assert all(epoch.memory_allocations is None for epoch in epochs)


def test_never_started_or_exhausted_pass_leaves_no_thread(search: SearchData) -> None:
    batches(search.train, 4, order_seed=0, drop_last=False)
    whole = batches(search.train, 4, order_seed=0, drop_last=False)
    assert len(list(whole)) == 18
    assert next(whole, None) is None
    assert reading_threads() == 0


def test_exception_while_reading_reaches_the_consumer(
    search: SearchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Epoch.run_pipeline

    def fail_on_third(self: Epoch, number: int, *rest: Any) -> Any:
        if number == 2:
            raise OSError("the disk went away")
        return read(self, number, *rest)

    monkeypatch.setattr(Epoch, "run_pipeline", fail_on_third)
    found = batches(search.train, 8, order_seed=0, drop_last=False)
    assert [len(next(found)[0]) for _ in range(2)] == [8, 8]
    started = time.monotonic()
    with pytest.raises(DatasetError, match=r"the disk went away.*--verify"):
        next(found)
    assert time.monotonic() - started < 5
    assert reading_threads() == 0


def test_stuck_disk_meets_the_deadline(search: SearchData, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = threading.Event()
    monkeypatch.setattr(Epoch, "run_pipeline", lambda *_: stuck.wait(30))
    started = time.monotonic()
    with pytest.raises(DatasetError, match=r"gave no batch for 0\.3 s"):
        next(batches(search.train, 8, order_seed=0, drop_last=False, deadline_s=0.3))
    assert time.monotonic() - started < 5
    stuck.set()


@pytest.mark.parametrize("keep", [0, 10, 100, 1 << 21, -24])
def test_cut_file_is_refused_before_it_is_mapped(
    tiny_data: Path, tmp_path: Path, keep: int
) -> None:
    cut = tmp_path / "cut.beton"
    shutil.copy(tiny_data / "train.beton", cut)
    os.truncate(cut, keep if keep >= 0 else cut.stat().st_size + keep)
    split = Split(name="train", beton=cut, indices=np.arange(5))
    with pytest.raises(DatasetError, match=r"cut\.beton is cut short"):
        batches(split, 2, order_seed=None, drop_last=False)


def test_half_written_foreign_and_missing_files_are_refused(
    tiny_data: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half.beton"
    content = bytearray((tiny_data / "train.beton").read_bytes())
    content[16:24] = bytes(8)  # FFCV writes this pointer last
    half.write_bytes(content)
    foreign = tmp_path / "foreign.beton"
    foreign.write_bytes(b"GIF89a" * 100)
    for path, message in (
        (half, "half-written"),
        (foreign, "no beton"),
        (tmp_path / "none.beton", "can't be read"),
    ):
        with pytest.raises(DatasetError, match=message):
            batches(
                Split(name="x", beton=path, indices=np.arange(2)), 2, order_seed=0, drop_last=False
            )


def test_indices_outside_the_file_and_empty_batches_are_refused(search: SearchData) -> None:
    for wrong in (80, -1):
        split = replace(search.train, indices=np.array([0, wrong]))
        with pytest.raises(DatasetError, match="has 80 images"):
            batches(split, 2, order_seed=None, drop_last=False)
    with pytest.raises(DatasetError, match="batch_size must be ≥ 1"):
        batches(search.train, 0, order_seed=None, drop_last=False)


def test_replaced_file_is_read_anew(tiny_zip: Path, tmp_path: Path) -> None:
    prepare("tiny-imagenet", source=tiny_zip, data=tmp_path, workers=1)
    directory = tmp_path / "tiny-imagenet"
    test = open_final_data(directory).test
    assert next(batches(test, 4, order_seed=0, drop_last=False))[0].shape == (4, 64, 64, 3)
    prepare("tiny-imagenet", source=tiny_zip, data=tmp_path, workers=1, size=32, overwrite=True)
    assert next(batches(test, 4, order_seed=0, drop_last=False))[0].shape == (4, 32, 32, 3)


LEFT_OPEN = """
import sys
from pathlib import Path
from datasets.access import open_search_data
from datasets.loading.loader import batches
left = batches(open_search_data(Path(sys.argv[1])).train, 4, order_seed=0, drop_last=False)
next(left)
"""


def test_process_ends_with_a_pass_left_open(tiny_data: Path) -> None:
    command = [sys.executable, "-c", LEFT_OPEN, str(tiny_data)]
    done = subprocess.run(command, cwd=ROOT, timeout=60, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
