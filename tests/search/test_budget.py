"""Time and GPU-hours on a clock that stands still, with numbers worked out by hand."""

import math
from dataclasses import dataclass, field

import pytest

from search.budget import Budget, makespan_s


@dataclass
class Trained:
    """Trainings that took and will take so many seconds."""

    spent: float = 0.0
    expected: list[float] = field(default_factory=list)
    epoch: float = 0.0

    def spent_s(self) -> float:
        return self.spent

    def expected_s(self) -> list[float]:
        return self.expected

    def slowest_epoch_s(self) -> float:
        return self.epoch


def budget_of(
    *, time_s: float | None = None, used_s: float = 0.0, gpu_s: float | None = None,
    gpus: float = 1.0, workers: int = 2,
) -> Budget:  # fmt: skip
    left = math.inf if time_s is None else time_s - used_s
    return Budget(time_s=time_s, time_left=lambda: left, gpu_s=gpu_s, gpus=gpus, workers=workers)


def test_without_a_limit_there_is_no_end() -> None:
    budget = budget_of()
    assert budget.left(Trained(spent=1e9)) == math.inf
    assert budget.left_for_trials(Trained(spent=1e9, expected=[1e9], epoch=1e9)) == math.inf


@pytest.mark.parametrize(
    ("durations", "workers", "ends"),
    [
        ([10.0] * 4, 2, 20.0),
        ([10.0] * 5, 2, 30.0),
        ([10.0] * 5, 8, 10.0),
        ([4.0, 1.0, 1.0, 1.0, 3.0], 2, 6.0),  # the second worker: 1 + 1 + 1 + 3
        ([], 3, 0.0),
    ],
)
def test_when_the_last_training_ends(durations: list[float], workers: int, ends: float) -> None:
    assert makespan_s(durations, workers) == ends


def test_time_is_kept_for_the_finalists_and_an_epoch() -> None:
    """6 trainings of 100 s on 2 workers take 300, an epoch 10: of 900 s left, 590 for trials."""
    budget = budget_of(time_s=1000, used_s=100)
    trained = Trained(expected=[100.0] * 6, epoch=10)
    assert budget.left(trained) == 900
    assert budget.left_for_trials(trained) == 590
    assert budget.left_for_trials(Trained(epoch=10)) == 900


def test_trials_are_left_at_least_half_of_the_time() -> None:
    trained = Trained(expected=[500.0] * 6, epoch=10)
    assert budget_of(time_s=1000).left_for_trials(trained) == 500
    assert budget_of(time_s=1000, used_s=500).left_for_trials(trained) == 0
    assert budget_of(time_s=1000, used_s=500).left(trained) == 500


def test_gpu_seconds_by_hand() -> None:
    """800 GPU-seconds at a quarter of a GPU are 3,200 s of training; 1,200 left for 4 workers."""
    budget = budget_of(gpu_s=800, gpus=0.25, workers=4)
    assert budget.left(Trained(spent=2000)) == 300
    assert budget.left(Trained(spent=3200)) == 0
    assert budget.left(Trained(spent=3300)) < 0


def test_gpu_seconds_are_kept_for_the_finalists() -> None:
    """Of 1,000 s, 2 workers have spent 200; 4 × 50 and an epoch of each are kept: 580 are left."""
    trained = Trained(spent=200, expected=[50.0] * 4, epoch=10)
    budget = budget_of(gpu_s=1000, workers=2)
    assert budget.left_for_trials(trained) == 290
    assert budget.left(trained) == 400
    assert budget.left_for_trials(Trained(spent=200, expected=[900.0], epoch=10)) == 150


def test_whichever_ends_first() -> None:
    budget = budget_of(time_s=100, gpu_s=1000, workers=2)
    assert budget.left(Trained(spent=0)) == 100
    assert budget.left(Trained(spent=900)) == 50
