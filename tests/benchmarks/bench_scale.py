"""What thousands of trials cost the search's driver, as they pile up in one study.

Hundreds of workers of the simulated clock ask and report; the study, its sampler, rungs, records
and Optuna's journal are those of `search.run`, on disk. Trainings are made-up curves over a space's
own parameters. Ray takes no part: what it costs to hand out trials is no figure here.

Times are processor seconds of this process, so that other work on the machine doesn't count. One
decision in `--every` is the model's; the others draw at random, which costs next to nothing and
gives the model the same things to read. An interrupted benchmark goes on with `--resume`, as a
search does. The page is made by `python -m results.published.make_scale`.
"""

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from optuna.samplers import BaseSampler

from results.analysis.rung_values import quiet_optuna
from results.records import EpochMetrics, TrainingId
from results.store import RunStore
from search.early_stopping.decision import Rules
from search.samplers.gp_sampler import GaussianProcessSampler
from search.samplers.learning_curves import ObservedTrial
from search.samplers.source import ConfigurationSource
from search.simulation.points import Point
from search.simulation.recorded_curves import Curves
from search.simulation.simulator import simulate
from search.spaces import find_space
from search.study.optuna_journal import journal, journal_storage
from search.study.proposer import Proposal, Proposer
from search.study.study import Study
from tests.benchmarks import measure, model_cost
from tests.benchmarks.made_space import made_curves
from tests.benchmarks.measure import TRIED, Report
from trainables.config import TrialConfig

SPACE, EPOCHS, GRACE = "resnet18", 30, 3
RULES = Rules(
    epochs=EPOCHS, grace=GRACE, factor=3, max_gap=0.05, gap_patience=5, plateau_patience=0,
    num_classes=200,
)  # fmt: skip


class Timed:
    """The study as the simulated clock drives it; each call's processor time is kept."""

    def __init__(self, study: Study[TrialConfig], every: int, milestone: int, report: Report):
        self.study, self._every, self._milestone, self._report = study, every, milestone, report
        self._modelled: list[float] = []
        self._drawn: list[float] = []
        self._epochs: list[float] = []

    def ask(self) -> Proposal[Point] | None:
        began = time.process_time()
        proposal = self.study.ask()
        took = time.process_time() - began
        if proposal is None:
            return None
        number = proposal.number
        (self._drawn if number % self._every else self._modelled).append(took)
        if number and number % self._milestone == 0:
            self._report.measure("study", number // self._milestone, self._so_far)
        point = Point(self.study.records[number].params)
        return Proposal(training=TrainingId(number), config=point, epochs_done=proposal.epochs_done)

    def report(self, number: int, metrics: EpochMetrics) -> object:
        began = time.process_time()
        ending = self.study.report(number, metrics)
        self._epochs.append(time.process_time() - began)
        return ending

    def _so_far(self) -> dict[str, Any]:
        """The calls since the last milestone, and what there is on disk and in memory."""
        directory = self.study.store.directory  # type: ignore[attr-defined]
        calls = sorted(self._modelled or self._drawn)
        cost = {
            "value": 1000 * statistics.median(calls),
            "p99_ms": 1000 * float(np.percentile(calls, 99)),
            "highest_ms": 1000 * calls[-1],
            "decisions": len(calls),
            "drawn_ms": 1000 * statistics.median(self._drawn or calls),
            "report_ms": 1000 * statistics.median(self._epochs),
            "report_p99_ms": 1000 * float(np.percentile(self._epochs, 99)),
            "trials": len(self.study.records),
            "epochs": sum(map(len, self.study.epochs.values())),
            "memory_mb": psutil.Process().memory_info().rss / 1e6,
            "journal_mb": journal(directory).stat().st_size / 1e6,
            "records_mb": sum(f.stat().st_size for f in directory.glob("*.jsonl")) / 1e6,
            "files": sum(1 for _ in directory.rglob("*")),
        }
        self._modelled, self._drawn, self._epochs = [], [], []
        return cost


def open_study(directory: Path, trials: int, every: int) -> Study[TrialConfig]:
    """The study, new or gone on with."""

    def sampler(
        source: ConfigurationSource,
        seed: int,
        number: int,
        known: Sequence[ObservedTrial],
        marks: Sequence[int],
    ) -> BaseSampler:
        return GaussianProcessSampler(source, seed, 0 if number % every else number, known, marks)

    fixed = {"epochs": EPOCHS, "precision": "float32", "weights": "none"}
    return Study(
        proposer=Proposer(find_space(SPACE), fixed, 0, make=sampler),
        rules=RULES,
        trials=trials,
        store=RunStore(directory),
        storage=journal_storage(directory),
    )


def play(directory: Path, given: argparse.Namespace, report: Report, curves: Curves) -> None:
    study = open_study(directory, given.trials, given.every)
    timed = Timed(study, given.every, given.milestone, report)
    simulate(timed, curves, workers=given.workers, epochs=sys.maxsize)
    study.store.close()  # type: ignore[attr-defined]


def reopen(directory: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Processor seconds until a search of that many trials could go on."""
    began = time.process_time()
    journal_storage(directory)
    journal_s = time.process_time() - began
    study = open_study(directory, given.trials, given.every)
    whole = time.process_time() - began - journal_s
    study.store.close()  # type: ignore[attr-defined]
    return {"value": whole, "journal_s": journal_s, "trials": len(study.records)}


def benchmark(arguments: list[str] | None = None) -> None:
    made = measure.parser("scale", __doc__, images=False)
    made.add_argument("--trials", type=int, default=10_000, metavar="N")
    made.add_argument("--workers", type=int, default=500, metavar="N")
    made.add_argument("--every", type=int, default=10, metavar="N", help="default: 10")
    made.add_argument("--milestone", type=int, default=1000, metavar="N", help="default: 1000")
    made.add_argument("--resume", action="store_true", help="go on with an interrupted one")
    given = measure.parse(made, arguments)
    if given.quick:
        given.trials, given.workers, given.every, given.milestone = 60, 20, 10, 20
    workload = {"space": SPACE, "epochs": EPOCHS, "grace": GRACE} | {
        name: getattr(given, name) for name in ("trials", "workers", "every", "milestone")
    }
    directory = TRIED / f"scale-{given.trials}"
    if not given.resume:
        shutil.rmtree(directory, ignore_errors=True)
    report = Report(given.out, "scale", workload, resume=given.resume)
    with quiet_optuna():
        proposer = Proposer(find_space(SPACE), {"weights": "none"}, 0)
        curves = made_curves(proposer, EPOCHS)
        for number, trials in enumerate((100, 20) if given.quick else model_cost.TRIALS):
            for name, bounded in (("bounded", True), ("unbounded", False)):
                if bounded or trials <= model_cost.LARGEST_UNBOUNDED:
                    report.measure(
                        name, number,
                        lambda n=trials, b=bounded: model_cost.decision(proposer, curves, n, b),
                    )  # fmt: skip
        play(directory, given, report, curves)
        report.measure("reopening", 0, lambda: reopen(directory, given))


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
