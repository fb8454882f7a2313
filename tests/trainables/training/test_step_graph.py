"""Steps as one CUDA graph, with made-up answers of `torch.cuda`: real ones need a GPU, where
`tests.benchmarks.gpu.correct` compares them with steps operation by operation.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.config import TrialConfig
from trainables.profiling import captured_steps, latency
from trainables.profiling.capture_gain import TOLERANCE, WORTH, CaptureGain
from trainables.profiling.training_steps import random_training
from trainables.training import step_graph
from trainables.training.step_graph import WARM_UP, StepGraph

CPU = torch.device("cpu")


class FakeCuda:
    """Records a captured step by letting it run once, and repeats it at each replay.

    error: what a capture raises.
    """

    def __init__(self, patch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.recording, self.replays = False, 0
        self.restored: list[Any] = []
        self.repeat: Any = None
        cuda, error_ = torch.cuda, error
        stream = SimpleNamespace(wait_stream=lambda _: None, device_index=0)
        generator = SimpleNamespace(
            clone_state=lambda: "state", graphsafe_set_state=self.restored.append
        )
        step_graph._capture_stream.cache_clear()

        @contextmanager
        def graph(_: Any, pool: str, on: Any, capture_error_mode: str) -> Iterator[None]:
            assert (pool, on, capture_error_mode) == ("pool", stream, "thread_local")
            self.recording = True
            yield
            self.recording = False
            if error_:
                raise error_

        def replay() -> None:
            self.replays += 1
            self.repeat()

        patch.setattr(cuda, "Stream", lambda _: stream)
        patch.setattr(cuda, "current_stream", lambda _: stream)
        patch.setattr(cuda, "stream", lambda _: nullcontext())
        patch.setattr(cuda, "CUDAGraph", lambda: SimpleNamespace(replay=replay))
        patch.setattr(cuda, "graph", graph)
        patch.setattr(cuda, "default_generators", [generator])
        patch.setattr(cuda, "set_stream", self.restored.append)
        patch.setattr(cuda, "graph_pool_handle", lambda: "pool")
        patch.setattr(torch._C, "_cuda_endAllocateToPool", self.end_pool, raising=False)
        self.undone = [stream, "state", (0, "pool")]

    def end_pool(self, device: int, pool: str) -> None:
        self.restored.append((device, pool))


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.1)


def losses_of(cuda: FakeCuda, steps: int) -> tuple[list[float], list[bool], StepGraph]:
    """The losses of steps on ever larger numbers, the calls of the step that were capturable, and
    the graph.
    """
    optimized = optimizer()
    graph, calls = StepGraph(optimized, CPU), list[bool]()

    def step(images: Tensor, labels: Tensor) -> Tensor:
        calls.append(optimized.param_groups[0]["capturable"])
        loss = (images.float() + labels).sum()
        if cuda.recording:
            cuda.repeat = lambda: loss.copy_((images.float() + labels).sum())
        return loss

    found = []
    for number in range(steps):
        batch = torch.full((2,), number, dtype=torch.uint8), torch.ones(2, dtype=torch.int64)
        found.append(graph.take(step, *batch).item())
    return found, calls, graph


def test_steps_run_as_they_are_then_one_is_captured_and_all_others_repeat_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = FakeCuda(monkeypatch)
    losses, calls, graph = losses_of(cuda, WARM_UP + 4)
    assert losses == [2.0 * (number + 1) for number in range(WARM_UP + 4)]
    assert calls == [False] * WARM_UP + [True]
    assert (cuda.replays, cuda.restored, graph.captured) == (4, [], True)


def test_a_step_that_cannot_be_captured_goes_on_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cuda = FakeCuda(monkeypatch, RuntimeError("operation not permitted when stream is capturing"))
    losses, calls, graph = losses_of(cuda, WARM_UP + 3)
    assert losses == [2.0 * (number + 1) for number in range(WARM_UP + 3)]
    assert calls == [False] * WARM_UP + [True] + [False] * 3
    assert (cuda.replays, cuda.restored, graph.captured) == (0, cuda.undone, False)
    assert [record.getMessage() for record in caplog.records] == [
        "Steps run one operation at a time: operation not permitted when stream is capturing"
    ]


def test_want_of_memory_in_a_capture_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial goes on in smaller pieces, as anywhere else."""
    cuda = FakeCuda(monkeypatch, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        losses_of(cuda, WARM_UP + 1)
    assert cuda.restored == cuda.undone


def test_on_a_cpu_steps_are_not_captured() -> None:
    config = TrialConfig(network="resnet10", image_size=32, batch_size=4, precision="float32")
    steps, batch = random_training(config, CPU, captured=True)
    for _ in range(WARM_UP + 2):
        steps.take(*batch)
    assert not steps.captured


def test_a_gain_is_measured_by_steps_of_both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU none is captured, so that there is no second rate."""
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(captured_steps, "_TIMED", 1)
    monkeypatch.setattr(latency.time, "perf_counter", iter(range(100)).__next__)
    config = TrialConfig(network="resnet10", image_size=32, batch_size=4, precision="float32")
    drawn = torch.get_rng_state()
    gain = captured_steps.measure_capture(config, CPU)
    assert gain == CaptureGain(plain_images_per_s=4.0)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert gain.describe().endswith("they can't be captured as a CUDA graph")


@pytest.mark.parametrize(
    ("captured", "difference", "worthwhile", "said"),
    [
        (5000.0, 0.0, True, "each step is one CUDA graph: 5.0 × as fast"),
        (
            5000.0,
            2 * TOLERANCE,
            False,
            "steps start one operation at a time, because one CUDA graph is",
        ),
        (1000.0 * WORTH, 0.0, False, "weights 0.0% apart"),
        (5000.0, 0.3, True, "weights 30.0% apart"),  # as two trainings without captured steps
        (0.0, 0.0, False, "can't be captured"),
    ],
)
def test_captured_steps_are_worthwhile_if_they_are_faster_and_train_the_same(
    captured: float, difference: float, worthwhile: bool, said: str
) -> None:
    gain = CaptureGain(
        plain_images_per_s=1000.0,
        captured_images_per_s=captured,
        difference=difference,
        noise=difference / 2 if difference == 0.3 else 0.0,
    )
    assert gain.worthwhile is worthwhile
    assert gain.images_per_s == (captured if worthwhile else 1000.0)
    assert said in gain.describe()
