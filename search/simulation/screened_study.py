"""Decides simulated searches that begin with short trainings."""

from dataclasses import replace

from optuna.storages import InMemoryStorage

from results.records import EpochMetrics, ScreeningRecord, TrainingId
from search.early_stopping.decision import Ending, Rules
from search.planning.screening import size_screening
from search.simulation.points import Point, PointProposer
from search.simulation.recorded_curves import Curves
from search.simulation.short_trainings import ShortTrainings
from search.study.proposer import Proposal
from search.study.screening import NoScreening, Screening
from search.study.store import MemorySideStore, MemoryStore
from search.study.study import Study


class ScreenedStudy:
    """Decides a simulated search as the screening and the study of a real one do, but in memory. It
    begins with the short trainings of its curves, where these have some that are worth while.
    """

    def __init__(self, curves: Curves, rules: Rules, proposer: PointProposer) -> None:
        self._screening = _screening_of(curves, proposer)
        self.study = Study(
            proposer=proposer,
            rules=rules,
            trials=proposer.trials,
            store=MemoryStore(),
            storage=InMemoryStorage(),
            screening=self._screening or NoScreening(),
        )

    def ask(self) -> Proposal[Point] | None:
        """Returns the next training for a free worker, or `None` where there is none for now."""
        return (self._screening and self._screening.ask()) or self.study.ask()

    def report(self, number: int, metrics: EpochMetrics) -> Ending | None:
        """Records an epoch of trial `number`, and returns its ending or `None`."""
        return self.study.report(number, metrics)

    def report_short(self, number: int, metrics: EpochMetrics) -> None:
        """Records the last epoch of short training `number`."""
        assert self._screening is not None
        self._screening.report(TrainingId(number, screening=True), metrics)


def _screening_of(curves: Curves, proposer: PointProposer) -> Screening[Point] | None:
    if (short := curves.short) is None:
        return None
    cost = float(short.seconds.mean() / curves.epoch_s.mean()) / curves.epochs
    plan = size_screening(epochs=short.epochs, images=short.images, size=short.size, cost=cost)
    if plan is None:
        return None
    store: MemorySideStore[ScreeningRecord] = MemorySideStore()
    return Screening(
        count=plan.count,
        images=plan.images,
        proposer=proposer,
        shorten=lambda point: Point({**point.params, "epochs": short.epochs}),
        store=store,
        num_classes=curves.num_classes,
        val_images=short.val_images,
    )


def short_metrics(curves: Curves, short: ShortTrainings, row: int) -> EpochMetrics:
    """Returns the last epoch of the short training in this row."""
    val, seconds = float(short.val[row]), float(short.seconds[row])
    return replace(
        curves.metrics(row, 1),
        epoch=short.epochs,
        train_loss=1.0,
        val_top1=val,
        train_top1=val,
        gap=0.0,
        train_s=seconds,
        wall_s=seconds,
    )
