"""When FFCV's pipelines are compiled, and how often."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from datasets.access import open_search_data
from datasets.loading import epoch, loader
from datasets.loading.ffcv_import import Compiler
from datasets.loading.loader import batches
from datasets.splits import SearchData


@pytest.fixture
def search(tiny_data: Path) -> SearchData:
    return open_search_data(tiny_data)


def test_reading_is_compiled_once_it_pays_and_gives_the_same(
    search: SearchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "_images_requested", 0)
    monkeypatch.setattr(loader, "COMPILE_AFTER", 100)  # in the middle of the second pass
    passes, compiled = [], []
    for _ in range(3):
        read = list(batches(search.train, 8, order_seed=5, drop_last=False))
        passes.append([torch.cat(tensors) for tensors in zip(*read, strict=True)])
        compiled.append(Compiler.is_enabled)
    assert compiled == [False, False, True]
    for images, labels in passes[1:]:
        assert torch.equal(images, passes[0][0])
        assert torch.equal(labels, passes[0][1])


def test_compiled_code_is_shared_between_files_and_batch_sizes(
    search: SearchData, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "COMPILE_AFTER", 0)
    list(batches(search.train, 8, order_seed=0, drop_last=False))
    copy = tmp_path / "copy.beton"
    shutil.copy(tiny_data / "train.beton", copy)
    started = time.process_time()
    next(batches(replace(search.train, beton=copy), 16, order_seed=0, drop_last=False))
    # Compiling takes more than a second; a new loader with compiled code about 0.02 s.
    assert time.process_time() - started < 0.4


def test_batches_for_a_gpu_are_compiled_at_once_and_pinned(
    search: SearchData, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a GPU no memory can be pinned: a copy stands in, which notes what it copied."""
    monkeypatch.setattr(loader, "_images_requested", 0)
    monkeypatch.setattr(loader, "READ_AT_ONCE", 20)
    copy = tmp_path / "copy.beton"
    shutil.copy(tiny_data / "train.beton", copy)
    split = replace(search.train, beton=copy)
    pinned: list[torch.Tensor] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor.clone())
        return pinned[-1]

    monkeypatch.setattr(epoch, "_copy_to_pinned", pin)
    plain = list(batches(split, 8, order_seed=5, drop_last=False))
    assert not Compiler.is_enabled
    assert pinned == []
    for_gpu = list(batches(split, 8, order_seed=5, drop_last=False, for_gpu=True))
    assert Compiler.is_enabled
    # Three batches at once are the fewest with 20 images or more.
    assert [len(tensor) for tensor in pinned] == [24, 24, 24, 24, 24, 24]
    memory = {tensor.untyped_storage().data_ptr() for tensor in pinned}
    assert {t.untyped_storage().data_ptr() for batch in for_gpu for t in batch} == memory
    for one, other in zip(plain, for_gpu, strict=True):
        assert all(map(torch.equal, one, other))
    list(batches(split, 8, order_seed=5, drop_last=False))
    assert Compiler.is_enabled  # what is compiled stays so
