"""Finalists on made curves, trained by one worker without Ray."""

from collections.abc import Callable
from pathlib import Path

from results.records import EpochMetrics, TrainingId
from results.side_store import FINALIST_FILES, SideStore
from search.study.finalists import Finalists
from search.study.study import Study
from tests.search.study_on_curves import curve, metrics, open_study
from trainables.config import TrialConfig


def seeded_curve(config: TrialConfig) -> list[EpochMetrics]:
    """Nine epochs that end 0.01 apart from one seed to the next."""
    shift = 0.01 * (config.seed % 3)
    return [metrics(m.epoch, round((m.val_top1 or 0) + shift, 6)) for m in curve(config)]


def search(study: Study[TrialConfig]) -> None:
    """One worker trains all trials."""
    while (proposal := study.ask()) is not None:
        for epoch in curve(proposal.config)[proposal.epochs_done :]:
            if study.report(proposal.number, epoch):
                break


def repeat(finalists: Finalists, epochs: int | None = None) -> list[TrainingId]:
    """One worker trains finalists, for some epochs at most; what it began, in order."""
    begun, done = [], 0
    while (proposal := finalists.ask()) is not None:
        begun.append(proposal.training)
        for epoch in seeded_curve(proposal.config)[proposal.epochs_done :]:
            if done == epochs:
                return begun
            done += 1
            if finalists.report(proposal.training, epoch):
                break
    return begun


def final_of(
    directory: Path,
    *,
    count: int = 2,
    repeats: int = 3,
    trials: int = 6,
    time_left: Callable[[], float] | None = None,
) -> Finalists:
    """The finalists of the study in `directory`, whose trials are all trained first."""
    study = open_study(directory, trials=trials)
    search(study)
    more = {"time_left": time_left} if time_left else {}
    return Finalists(
        study=study,
        store=SideStore(FINALIST_FILES, directory),
        count=count,
        repeats=repeats,
        seed=0,
        **more,
    )


def kill(finalists: Finalists) -> None:
    finalists.study.store._lock.release()  # type: ignore[attr-defined]
