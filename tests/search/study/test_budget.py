"""Time and GPU-hours on a clock that stands still, with numbers worked out by hand."""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from results.analysis.session_times import GpuTime
from results.records import EpochMetrics, TrialState
from results.side_store import FINALIST_FILES, SideStore
from search.config.options import SearchOptions
from search.hardware.allocation import Resources
from search.session.session import make_budget
from search.study.budget import Budget, GpuMeter, makespan_s
from search.study.finalists import Finalists
from search.study.proposer import Proposal
from search.study.supervisor import Supervisor
from tests.search.study_on_curves import curve, open_study
from trainables.config import TrialConfig


@dataclass
class Trained:
    """Trainings that will take so many seconds."""

    expected: list[float] = field(default_factory=list)
    epoch: float = 0.0

    def expected_s(self) -> list[float]:
        return self.expected

    def slowest_epoch_s(self) -> float:
        return self.epoch


def limited(
    *, time_s: float | None = None, used_s: float = 0.0, gpu_s: float | None = None,
    held_s: float = 0.0, gpus: int = 1, workers: int = 2,
) -> Budget:  # fmt: skip
    left = math.inf if time_s is None else time_s - used_s
    meter = GpuMeter(gpus, GpuTime(held_s=held_s))
    return Budget(time_s=time_s, time_left=lambda: left, gpu_s=gpu_s, meter=meter, workers=workers)


def test_without_a_limit_there_is_no_end() -> None:
    budget = limited(held_s=1e9)
    assert budget.left() == math.inf
    assert budget.left_for_trials(Trained(expected=[1e9], epoch=1e9)) == math.inf


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
    budget = limited(time_s=1000, used_s=100)
    trained = Trained(expected=[100.0] * 6, epoch=10)
    assert budget.left() == 900
    assert budget.left_for_trials(trained) == 590
    assert budget.left_for_trials(Trained(epoch=10)) == 900


def test_trials_are_left_at_least_half_of_the_time() -> None:
    trained = Trained(expected=[500.0] * 6, epoch=10)
    assert limited(time_s=1000).left_for_trials(trained) == 500
    assert limited(time_s=1000, used_s=500).left_for_trials(trained) == 0
    assert limited(time_s=1000, used_s=500).left() == 500


def test_gpu_seconds_by_hand() -> None:
    """Of 800 GPU-seconds, 200 are left: 100 s on two GPUs, however many trials share them."""
    assert limited(gpu_s=800, held_s=600, gpus=2, workers=8).left() == 100
    assert limited(gpu_s=800, held_s=800, gpus=2, workers=8).left() == 0
    assert limited(gpu_s=800, held_s=801, gpus=2, workers=8).left() < 0


def test_gpu_seconds_are_kept_for_the_finalists() -> None:
    """4 × 50 s on 2 workers end after 100 s, and an epoch after 10: 2 GPUs are held for 110."""
    trained = Trained(expected=[50.0] * 4, epoch=10)
    budget = limited(gpu_s=1000, held_s=200, gpus=2)
    assert budget.left_for_trials(trained) == (800 - 2 * 110) / 2
    assert budget.left() == 400
    # One training holds one GPU; at most half of the budget is kept.
    assert budget.left_for_trials(Trained(expected=[300.0])) == (800 - 300) / 2
    assert budget.left_for_trials(Trained(expected=[900.0], epoch=10)) == (800 - 500) / 2


def test_whichever_ends_first() -> None:
    assert limited(time_s=100, gpu_s=1000, gpus=2).left() == 100
    assert limited(time_s=100, gpu_s=1000, held_s=900, gpus=2).left() == 50


@pytest.mark.parametrize(
    ("concurrent", "per_gpu", "gpus"),
    [(2, 2, 1), (3, 2, 2), (8, 1, 8), (6, 6, 1), (7, 6, 2), (300, 30, 10), (4, 0, 0)],
)
def test_gpu_hours_asked_for(concurrent: int, per_gpu: int, gpus: int) -> None:
    """8 hours of a GPU are 8 hours on the wall for one, and an hour for eight."""
    options = SearchOptions(space="demo", gpu_hours=8, time_budget="9h")
    resources = Resources(concurrent=concurrent, threads=1, why="", per_gpu=per_gpu)
    assert resources.gpus_held == gpus
    meter = GpuMeter(resources.gpus_held or 1, GpuTime(held_s=3600))
    assert make_budget(options, resources, 0.0, meter).left() == 7 * 3600 / (gpus or 1)
    hour_left = make_budget(options, resources, 8.9 * 3600, meter).left()
    assert 350 < hour_left <= 360


class Search:
    """A study and its finalists on two workers, each epoch of which takes 1.5 s of a made clock."""

    def __init__(self, directory: Path, *, time_s: float | None, gpu_s: float | None, count: int):
        self.now = 0.0
        left = (lambda: math.inf) if time_s is None else (lambda: time_s - self.now)
        self.meter = GpuMeter(2, clock=lambda: self.now)
        budget = Budget(time_s=time_s, time_left=left, gpu_s=gpu_s, meter=self.meter, workers=2)
        self.study = open_study(
            directory, trials=999, time_left=lambda: budget.left_for_trials(self.finalists)
        )
        self.finalists = Finalists(
            study=self.study,
            store=SideStore(FINALIST_FILES, directory),
            count=count,
            repeats=2,
            seed=0,
            time_left=lambda: budget.left(),
        )

    def run(self) -> None:
        """To the end, as Ray would: a worker that is free asks, and again with every event."""
        running: list[tuple[float, int, Proposal[TrialConfig], Iterator[EpochMetrics]]] = []
        order, supervisor = 0, Supervisor(self.study, self.finalists)
        while True:
            while len(running) < 2 and (p := supervisor.propose()):
                self.meter.began(p, 1.0)
                heapq.heappush(running, (self.now + 1.5, order, p, iter(curve(p.config))))
                order += 1
            if not running:
                return
            self.now, _, p, epochs = heapq.heappop(running)
            if supervisor.epoch(p.training, next(epochs)) is None:
                heapq.heappush(running, (self.now + 1.5, order, p, epochs))
                order += 1
            else:
                self.meter.ended(supervisor.record(p.training))

    def trials_s(self) -> float:
        return sum(record.wall_s for record in self.study.records.values())


def test_a_search_ends_early_enough_for_all_its_finalists(tmp_path: Path) -> None:
    """6 trainings of 13.5 s on 2 workers take 40.5, an epoch 1.5: trials end from 78 s on."""
    search = Search(tmp_path / "run", time_s=120, gpu_s=None, count=2)
    search.run()
    records = search.finalists.records.values()
    assert [r.state for r in records] == [TrialState.COMPLETE] * 6
    assert 118 < search.now <= 120
    assert 2 * 76.5 <= search.trials_s() <= 2 * 79.5
    assert search.study.finished()
    assert search.finalists.finished()


def test_without_finalists_trials_have_all_of_the_time(tmp_path: Path) -> None:
    search = Search(tmp_path / "run", time_s=60, gpu_s=None, count=0)
    search.run()
    assert 60 <= search.now <= 61.5
    assert search.trials_s() >= 118


def test_gpu_seconds_are_enough_for_all_finalists(tmp_path: Path) -> None:
    """81 s for 6 trainings and 3 for the last epochs: of 240 s of two GPUs, 156 for trials."""
    search = Search(tmp_path / "run", time_s=None, gpu_s=240, count=2)
    search.run()
    assert {r.state for r in search.finalists.records.values()} == {TrialState.COMPLETE}
    assert 153 <= search.trials_s() <= 159
    assert 234 <= search.finalists.spent_s() <= 240
    assert 234 <= search.meter.total().held_s <= 240


def test_the_clock_alone_breaks_epochs_off():
    """However many seconds are reserved, and however much of the GPU-hours is used up."""
    left_s = [0.5]
    meter = GpuMeter(1, GpuTime(held_s=50.0))
    budget = Budget(time_s=100.0, time_left=lambda: left_s[0], gpu_s=10.0, meter=meter, workers=1)
    assert budget.left() < 0
    assert not budget.time_is_up()
    left_s[0] = 0.0
    assert budget.time_is_up()
    assert not make_budget(
        SearchOptions(), Resources(concurrent=2, threads=1, why="", per_gpu=2), 1e9, meter
    ).time_is_up()
