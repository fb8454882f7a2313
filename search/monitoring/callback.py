"""Reports the progress of a search to a function of the user's program."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from common.text import last_lines
from results.records import EpochMetrics, TrainingId, TrainingRecord
from search.monitoring.monitor import Monitor
from search.monitoring.progress import Progress
from search.monitoring.training_progress import TrainingProgress


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchProgress:
    """Holds what a search has reached when a training has ended an epoch, or has itself ended.

    `training` is its name for people, such as `trial 3` or `baseline`, and `trial` the number of
    its trial. `ended` is whether the training has ended, with this `state` and, where it ended
    early, this `reason`. `epoch` counts its epochs so far, of `epochs` in a whole training;
    `val_top1` and `gap` are fractions after the latest epoch, or `None` before the first one.
    `trials_ended` of `trials` trials have ended. `best_trial` is the number of the best one so far
    and `best_val_top1` its accuracy, `None` before the first epoch. `elapsed_s` are the seconds of
    this session, and `left_s` the estimated seconds until the search ends, if they can be told.
    """

    training: str
    trial: int
    ended: bool
    state: str
    reason: str | None
    epoch: int
    epochs: int
    val_top1: float | None
    gap: float | None
    trials_ended: int
    trials: int
    best_trial: int | None
    best_val_top1: float | None
    elapsed_s: float
    left_s: float | None


def describe_progress(progress: Progress, training: TrainingProgress) -> SearchProgress:
    """Returns what the search has reached, seen from one of its trainings."""
    leader, last = progress.leader(), training.metrics[-1] if training.metrics else None
    return SearchProgress(
        training=training.name,
        trial=training.number,
        ended=training.ended,
        state=str(training.state),
        reason=str(training.reason) if training.reason else None,
        epoch=len(training.metrics),
        epochs=training.length,
        val_top1=last.val_top1 if last else None,
        gap=last.gap if last else None,
        trials_ended=sum(progress.endings().values()),
        trials=progress.limits.trials,
        best_trial=leader.number if leader else None,
        best_val_top1=leader.last_val_top1 if leader else None,
        elapsed_s=progress.elapsed_s(),
        left_s=progress.time_left_s(),
    )


class ReportingMonitor(Monitor):
    """Shows a search as `Monitor` does, collects in `notes` what went wrong, and reports each epoch
    and each end of a training to a function.

    report: gets a `SearchProgress`. Its first exception is a note, and the search goes on without
        it.
    """

    def __init__(
        self,
        console: Console,
        trials: int,
        report: Callable[[SearchProgress], object] | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        super().__init__(console, trials, quiet=quiet)
        self.notes: list[str] = []
        self.interrupting = False
        """Tells whether a signal has arrived, and the search ends."""
        self._report, self._print = report, self.warn
        self.warn = self._note

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self._print(text)

    def interrupted(self, words: str) -> None:
        """Shows at once what a signal does."""
        self.interrupting = True
        if not self._quiet:
            super().interrupted(words)

    def epoch(self, training: TrainingId, metrics: EpochMetrics, *, new: bool = True) -> None:
        """Shows the epoch, and reports it if it is new."""
        super().epoch(training, metrics, new=new)
        if new:
            self._tell(training)

    def ended(self, record: TrainingRecord) -> None:
        """Shows the end of a training, and reports it."""
        super().ended(record)
        self._tell(record.training)

    def _tell(self, training: TrainingId) -> None:
        if self._report is None:
            return
        try:
            self._report(describe_progress(self.progress, self.progress.trainings[training]))
        except Exception as error:  # of the user's program
            self._report = None
            reason = last_lines(f"{type(error).__name__}: {error}")
            self.warn(f"on_progress fails, and the search goes on without it: {reason}")
