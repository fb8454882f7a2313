"""200 trials of which half go wrong, in ten ways: the search ends, and says what happened."""

from collections import Counter
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from ray.tune.experiment import Trial
from rich.console import Console

from results.analysis.ranking import rank_trials
from results.records import EpochMetrics, StopReason, TrialRecord, TrialState
from results.side_store import FINALIST_FILES, SideStore
from search.hardware.allocation import Resources
from search.monitoring.failure_summary import count_failures
from search.monitoring.monitor import Monitor
from search.ray_backend.scheduler import StudyScheduler
from search.ray_backend.slots import Slots
from search.ray_backend.task import Task
from search.ray_backend.watchdog import Watchdog
from search.spaces import find_space
from search.study.finalists import Finalists
from search.study.proposer import Proposal, Proposer
from search.study.store import MemoryStore
from search.study.study import Study
from search.study.supervisor import Supervisor
from tests.search.ray_backend.test_failures import KILLED, OTHER, WANT
from tests.search.study_on_curves import RULES, curve, metrics
from tests.search.tasks import result_of, task_of
from trainables.config import ConfigError, TrialConfig

TRIALS = 200
DIED = (
    "The actor died unexpectedly before finishing this task.\n\tpid: {0}\n\tip: 10.0.0.{0}\n"
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR {0}\n"
)
CHECKPOINT = (
    "  File …\n    g()\ntrainables.training.checkpoint.CheckpointError: A checkpoint must be …\n"
)
STALL = "stall"
LURE = metrics(1, 0.999)
"""An epoch that no good trial reaches: what failed or diverged must not win with it."""

Way = Callable[[list[EpochMetrics], int], Iterator[EpochMetrics | str]]
WAYS: dict[str, Way] = {
    "memory": lambda good, attempt: iter([LURE, WANT] if attempt == 1 else [WANT]),
    "killed for memory": lambda good, attempt: iter([KILLED]),
    "no disk": lambda good, attempt: iter([LURE, OTHER] if attempt == 1 else [OTHER]),
    "checkpoint": lambda good, attempt: iter([CHECKPOINT]),
    "dies": lambda good, attempt: iter([DIED.format(attempt + len(good))]),
    "stalls": lambda good, attempt: iter([LURE, STALL] if attempt == 1 else [STALL]),
    "diverges": lambda good, attempt: iter([LURE, metrics(2, 0.05, loss=None)]),
    "breaks once": lambda good, attempt: iter([*good[:1], OTHER] if attempt == 1 else good[1:]),
    "stalls once": lambda good, attempt: iter([*good[:1], STALL] if attempt == 1 else good[1:]),
    "breaks a rule": lambda good, attempt: iter([]),
}
FAILING = [*list(WAYS)[:6], "breaks a rule"]


def way_of(number: int) -> str | None:
    """What becomes of a trial; `None` where it goes well."""
    return list(WAYS)[number // 2 % len(WAYS)] if number % 2 else None


class Rules(Proposer):
    """A space in which some configurations break a rule."""

    def propose(self, trial: optuna.trial.BaseTrial) -> tuple[dict[str, Any], TrialConfig]:
        if way_of(trial.number) == "breaks a rule":
            raise ConfigError(["lr must be > 0, but got lr=-0.1."])
        return super().propose(trial)


class FakeRay:
    """Runs one trial after another as Tune does, with the scheduler's word on every event."""

    def __init__(self, study: Study[TrialConfig], scratch: Path) -> None:
        self._now = 0.0
        self._watchdog = Watchdog(20.0, clock=lambda: self._now)
        self._monitor = Monitor(Console(file=StringIO()), TRIALS, verbose=False)
        slots = Slots(Resources(concurrent=1, threads=1, why=""))
        finalists = Finalists(
            study=study, store=SideStore(FINALIST_FILES, scratch), count=0, repeats=2, seed=0
        )
        supervisor = Supervisor(study, finalists)
        self._scheduler = StudyScheduler(supervisor, self._monitor, self._watchdog, slots)
        self._errors = scratch / "error.txt"

    def run(self, proposal: Proposal[TrialConfig]) -> None:
        self._monitor.began(proposal)
        self._errors.unlink(missing_ok=True)
        trial = SimpleNamespace(
            config=task_of(proposal).to_ray(), num_failures=0, max_failures=0,
            status=Trial.RUNNING, trial_id="t", error_file=str(self._errors),
        )  # fmt: skip
        trial.set_config = lambda config: setattr(trial, "config", config)
        self._scheduler.on_trial_add(None, trial)
        while self._attempt(trial):
            pass

    def _attempt(self, trial: Any) -> bool:
        """Whether there is to be another one."""
        task = Task.from_ray(trial.config)
        number = task.training.number
        self._watchdog.begins(task.training, task.config, 0.0, [1.0])
        good = curve(task.config)
        way = WAYS.get(way_of(number) or "")
        for event in way(good, trial.num_failures + 1) if way else good:
            if isinstance(event, str):
                return self._fails(trial, event)
            if self._scheduler.on_trial_result(None, trial, result_of(event)) == "STOP":
                return False
        raise AssertionError(f"trial {number} ended without a word")

    def _fails(self, trial: Any, event: str) -> bool:
        training = Task.from_ray(trial.config).training
        while event == STALL and training not in self._watchdog.stalled():
            self._now += 1.0
        trial.num_failures += 1
        told = "killed by `ray.kill`" if event == STALL else event
        with self._errors.open("a", encoding="utf-8") as file:
            file.write(f"Failure # {trial.num_failures} (occurred at now)\n{told}\n")
        again = trial.num_failures <= trial.max_failures
        trial.status = Trial.ERROR if again else Trial.RUNNING
        self._scheduler.on_trial_error(None, trial)
        if again:
            self._scheduler.on_trial_add(None, trial)
        return again


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study[TrialConfig]:
    """A search that has ended. By chance, so that proposing takes no time."""
    proposer = Rules(
        find_space("demo"), {"epochs": RULES.epochs, "precision": "float32"}, 0,
        make=lambda source, seed, *known: optuna.samplers.RandomSampler(seed=seed),
    )  # fmt: skip
    made = Study(
        proposer=proposer,
        rules=RULES,
        trials=TRIALS,
        store=MemoryStore(),
        storage=InMemoryStorage(),
    )
    ray = FakeRay(made, tmp_path_factory.mktemp("errors"))
    while (proposal := made.ask()) is not None:
        ray.run(proposal)
    return made


def by_way(study: Study[TrialConfig], way: str | None) -> list[TrialRecord]:
    return [record for number, record in study.records.items() if way_of(number) == way]


def test_the_search_ends_and_each_trial_as_what_it_is(study):
    assert study.finished()
    assert not study.gave_up()
    assert len(study.records) == TRIALS
    states = {way: Counter((r.state, r.reason) for r in by_way(study, way)) for way in WAYS}
    for way in FAILING:
        reason = {"memory": StopReason.MEMORY, "killed for memory": StopReason.MEMORY,
                  "stalls": StopReason.STALLED}.get(way)  # fmt: skip
        assert states[way] == {(TrialState.FAILED, reason): 10}, way
    assert states["diverges"] == {(TrialState.STOPPED, StopReason.DIVERGED): 10}
    for way in ("breaks once", "stalls once"):
        assert {r.trusted and r.epochs >= 1 for r in by_way(study, way)} == {True}
        assert all(r.retried or r.epochs == 1 for r in by_way(study, way))
    assert all(r.trusted for r in by_way(study, None))


def test_the_best_is_the_best_of_those_that_went_well(study):
    """Thirty trials have had a higher val_top1 before they failed or diverged."""
    best = rank_trials(study.records.values())[0]
    well = [r for r in study.records.values() if r.trusted]
    assert best.last_val_top1 == max(r.last_val_top1 for r in well) < LURE.val_top1
    assert sum(r.best_val_top1 == LURE.val_top1 for r in study.records.values()) == 40


def test_the_report_says_what_happened(study, tmp_path):
    said = count_failures(study.records.values(), tmp_path)
    assert said[0] == f"70 of 200 trials failed (tracebacks: {tmp_path}):"
    counted = {line.split(", as trial ")[0].strip() for line in said[1:-1]}
    assert counted == {
        "20  memory",
        "10  stalled",
        "10  RuntimeError",
        "10  CheckpointError",
        "10  The actor is dead because its worker process has died",
        "10  lr must be > 0, but got lr=-0.1",
    }
    again = sum(bool(r.retried) and r.trusted for r in study.records.values())
    assert said[-1] == f"{again} of 200 trials broke off once and went on."
    assert again > 0


def test_many_kinds_are_cut_short_and_a_search_without_accidents_says_nothing():
    records = [
        TrialRecord(
            number=n, state=TrialState.FAILED, params={}, config={}, detail=f"Kind{n}Error: {n}"
        )
        for n in range(15)
    ]
    said = count_failures(records, Path("errors"))
    assert said[0] == "15 of 15 trials failed:"
    assert len(said) == 1 + 12 + 1
    assert said[1] == "     1  Kind0Error, as trial 0: Kind0Error: 0"
    assert said[-1] == "     3  of 3 more kinds"
    fine = TrialRecord(number=0, state=TrialState.COMPLETE, params={}, config={})
    assert count_failures([fine], Path("errors")) == []
