"""Batches gathered from a device's memory equal those that are read from the file."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.access import open_search_data
from datasets.loading import resident
from datasets.loading.loader import Batches, batches
from datasets.loading.resident import is_resident, resident_batches
from datasets.spec import DatasetError
from datasets.splits import SearchData

CPU = torch.device("cpu")


@pytest.fixture
def search(tiny_data: Path) -> SearchData:
    return open_search_data(tiny_data)


def equal(first: Batches, second: Batches) -> bool:
    return all(
        a.dtype == b.dtype and torch.equal(a, b)
        for one, other in zip(first, second, strict=True)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("part", ["train", "val", "train_sample"])
def test_order_and_values_are_the_streams(
    search: SearchData, part: str, drop_last: bool, seed: int | None
) -> None:
    split = getattr(search, part)
    streamed = batches(split, 5, order_seed=seed, drop_last=drop_last)
    gathered = resident_batches(split, 5, order_seed=seed, drop_last=drop_last, device=CPU)
    assert equal(gathered, streamed)


def test_a_batch_is_the_callers_own(search: SearchData) -> None:
    for images, labels in resident_batches(
        search.val, 4, order_seed=None, drop_last=False, device=CPU
    ):
        images.zero_()
        labels.zero_()
    streamed = batches(search.val, 4, order_seed=None, drop_last=False)
    gathered = resident_batches(search.val, 4, order_seed=None, drop_last=False, device=CPU)
    assert equal(gathered, streamed)


def test_a_replaced_file_is_read_anew(search: SearchData, tmp_path: Path) -> None:
    beton = tmp_path / "train.beton"
    content = search.val.beton.read_bytes()
    beton.write_bytes(content)
    split = replace(search.val, beton=beton)
    list(resident_batches(split, 4, order_seed=None, drop_last=False, device=CPU))
    assert is_resident(beton, CPU)
    os.utime(beton, ns=(1, 1))
    assert not is_resident(beton, CPU)
    gathered = resident_batches(split, 4, order_seed=None, drop_last=False, device=CPU)
    assert equal(gathered, batches(search.val, 4, order_seed=None, drop_last=False))
    assert is_resident(beton, CPU)


def test_wrong_indices_are_refused_at_once(search: SearchData) -> None:
    wrong = replace(search.val, indices=np.array([80]))
    with pytest.raises(DatasetError, match="has 80 images"):
        resident_batches(wrong, 4, order_seed=None, drop_last=False, device=CPU)


def test_a_device_holds_the_images_of_one_file(search: SearchData, tmp_path: Path) -> None:
    beton = tmp_path / "other.beton"
    beton.write_bytes(search.val.beton.read_bytes())
    for path, other in ((search.val.beton, beton), (beton, search.val.beton)):
        split = replace(search.val, beton=path)
        list(resident_batches(split, 4, order_seed=None, drop_last=False, device=CPU))
        assert is_resident(path, CPU)
        assert not is_resident(other, CPU)


def test_a_failed_reading_leaves_nothing(
    search: SearchData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(resident_batches(search.val, 4, order_seed=None, drop_last=False, device=CPU))
    beton = tmp_path / "other.beton"
    beton.write_bytes(search.val.beton.read_bytes())

    def read(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(resident, "_read", read)
    split = replace(search.val, beton=beton)
    with pytest.raises(torch.OutOfMemoryError):
        resident_batches(split, 4, order_seed=None, drop_last=False, device=CPU)
    assert CPU not in resident._residents
