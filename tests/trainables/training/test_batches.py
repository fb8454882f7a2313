"""The ways of batches to a GPU, walked on the CPU: whichever is taken, the numbers are equal."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from datasets.access import open_search_data
from datasets.loading import resident
from datasets.loading.loader import Batches, batches
from datasets.splits import SearchData, Split
from trainables.config import TrialConfig
from trainables.models.network import build, freeze
from trainables.train import train
from trainables.training import batches as feeder
from trainables.training.batches import Batch, BatchFeeder, prefetch_one

CPU = torch.device("cpu")
CONFIG = TrialConfig(
    network="resnet10", image_size=32, batch_size=16, epochs=2, flip=True, precision="float32"
)
CLOCK = ("images_per_s", "train_s", "wall_s", "start_s", "idle_s", "loading_s", "peak_memory_bytes")


@pytest.fixture
def data(tiny_data: Path) -> SearchData:
    return open_search_data(tiny_data)


def numbers(config: TrialConfig, data: SearchData) -> list[dict[str, Any]]:
    epochs = [asdict(epoch) for epoch in train(config, data)]
    return [{k: v for k, v in epoch.items() if k not in CLOCK} for epoch in epochs]


def test_training_on_resident_images_gives_the_same_numbers(
    data: SearchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamed = numbers(CONFIG, data)
    monkeypatch.setattr(BatchFeeder, "_may_stay", lambda self, split: True)
    monkeypatch.setattr(feeder, "batches", None)
    assert numbers(CONFIG, data) == streamed


class FakeGpuFeeder(BatchFeeder):
    """Thinks that every file fits on its device, which is the CPU."""

    def _may_stay(self, split: Split) -> bool:
        return split.beton not in self._streamed


@pytest.mark.parametrize(
    ("resident", "free", "stays"),
    [(True, 1.5, True), (None, 1.5, False), (None, 3.0, True), (False, 3.0, False)],
)
def test_images_with_reserved_room_stay_on_the_gpu_whatever_part_of_it_they_take(
    data: SearchData,
    monkeypatch: pytest.MonkeyPatch,
    resident: bool | None,
    free: float,
    stays: bool,
) -> None:
    """The free memory is so many times the file."""
    size = data.train.beton.stat().st_size
    monkeypatch.setattr(feeder, "free_bytes", lambda device: int(free * size))
    monkeypatch.setattr(feeder, "is_resident", lambda beton, device: False)
    on_gpu = BatchFeeder(device=torch.device("cuda"), resident=resident)
    assert on_gpu._may_stay(data.train) == stays


@pytest.mark.parametrize(
    ("error", "handled"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("CUDA driver error: out of memory"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
    ],
)
def test_images_that_find_no_room_are_streamed(
    data: SearchData, monkeypatch: pytest.MonkeyPatch, error: RuntimeError, handled: bool
) -> None:
    """Memory runs out after the device has taken some images; reading isn't tried again."""
    began = []

    def read(*_: object) -> None:
        began.append(True)
        raise error

    monkeypatch.setattr(resident, "_residents", {})
    monkeypatch.setattr(resident, "_read", read)
    feeder = FakeGpuFeeder(device=CPU)
    if not handled:
        with pytest.raises(RuntimeError, match="assert"):
            feeder.batches(data.val, 4, order_seed=None, drop_last=False)
        return
    for _ in range(2):
        streamed = feeder.batches(data.val, 4, order_seed=None, drop_last=False)
        expected = batches(data.val, 4, order_seed=None, drop_last=False)
        for given, wanted in zip(streamed, expected, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(given, wanted, strict=True))
    assert began == [True]


def test_the_first_batch_is_given_before_the_second_is_read() -> None:
    read = []

    def source() -> Batches:
        for number in range(3):
            read.append(number)
            yield torch.full((1,), number), torch.zeros(1)

    ahead = prefetch_one(source(), lambda batch: batch, lambda batch: batch)
    assert [(int(next(ahead)[0]), list(read)) for _ in range(3)] == [
        (0, [0]), (1, [0, 1, 2]), (2, [0, 1, 2]),
    ]  # fmt: skip
    assert next(ahead, None) is None
    assert list(prefetch_one((b for b in ()), lambda b: b, lambda b: b)) == []


def test_each_batch_is_on_its_way_before_the_one_before_is_given(data: SearchData) -> None:
    events: list[tuple[str, int]] = []

    def start(batch: Batch) -> tuple[int, Batch]:
        events.append(("start", len(events)))
        return len(events) - 1, batch

    def finish(started: tuple[int, Batch]) -> Batch:
        events.append(("finish", started[0]))
        return started[1]

    def source() -> Batches:
        return batches(data.train, 24, order_seed=1, drop_last=False)

    for given, expected in zip(prefetch_one(source(), start, finish), source(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(given, expected, strict=True))
    names = ["start", "finish", "start", "start", "finish", "finish"]  # the first waits for none
    assert [name for name, _ in events] == names
    assert [number for name, number in events if name == "finish"] == [0, 2, 3]


def test_leaving_early_leaves_the_source(data: SearchData) -> None:
    closed = []

    def source() -> Batches:
        try:
            yield from batches(data.train, 8, order_seed=None, drop_last=False)
        finally:
            closed.append(True)

    ahead = prefetch_one(source(), lambda batch: batch, lambda batch: batch)
    next(ahead)
    ahead.close()
    assert closed == [True]
    assert list(prefetch_one(iter_none(), lambda batch: batch, lambda batch: batch)) == []


def iter_none() -> Batches:
    yield from ()


@pytest.mark.slow
@pytest.mark.parametrize("depth", [0, 2])
def test_compiled_stages_give_the_gradients_of_plain_ones(depth: int) -> None:
    """A second network of the kind, with another dropout, is compiled no more."""
    images = torch.randn(16, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    compiled = torch._dynamo.utils.counters["stats"]
    graphs = []
    for seed in (0, 1):
        outcome = []
        for compiling in (True, False):
            config = CONFIG.but(compile=compiling, dropout=0.1 * seed, freeze_depth=depth)
            torch.manual_seed(seed)
            network = build(config, 10).to(memory_format=torch.channels_last)
            freeze(network, depth)
            torch.manual_seed(seed)
            logits = network(images)
            logits.square().mean().backward()
            gradients = [p.grad for p in network.parameters() if p.grad is not None]
            outcome.append([logits, *gradients])
        # One ReLU whose input rounds to the other side of 0 moves gradients by a hundredth:
        # both ways lie as near to float64's (3e-6 in the logits, 6e-6 to 1e-3 in gradients).
        errors = [float((a - b).norm() / b.norm()) for a, b in zip(*outcome, strict=True)]
        assert errors[0] < 1e-4
        assert max(errors) < 3e-2
        graphs.append(compiled["unique_graphs"])
    assert graphs[0] == graphs[1] > 0
