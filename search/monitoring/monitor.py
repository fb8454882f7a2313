"""What a search says while it runs: one plain line an event, or one screen in a terminal."""

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import psutil
from rich.console import Console, RenderableType
from rich.live import Live

from results.analysis.finalist_comparison import BASELINE
from results.records import (
    EpochMetrics,
    FinalistRecord,
    TrainingId,
    TrainingRecord,
    TrialRecord,
    TrialState,
)
from search.monitoring.console import plain_printer, redirect_stderr
from search.monitoring.progress import Limits, Progress, TrainingProgress
from search.monitoring.screen import draw_screen
from search.study.observer import Observer
from search.study.proposal import Proposal
from trainables.config import TrialConfig

REFRESHES_PER_S = 2


class Monitor(Observer):
    """An `Observer` that prints to `console`, by `say` what is news and by `warn` what went wrong.

    It keeps `progress`, which other observers read: they are told after it.

    quiet: no news. verbose: all news, also where a screen shows them, and how long the start took.
    """

    def __init__(
        self, console: Console, trials: int, *, verbose: bool = False, quiet: bool = False
    ) -> None:
        self.warn = plain_printer(console)
        self.say = (lambda _: None) if quiet else self.warn
        self.progress = Progress(Limits(trials=trials))
        self._console, self._screen = console, not quiet and has_screen(console)
        self._live: Live | None = None
        self._lock = threading.Lock()  # of the progress, which the screen's thread reads
        self._command_at = psutil.Process().create_time()
        self._stage_at = self._command_at
        self._verbose, self._stages = verbose, verbose and not quiet
        self._started = time.monotonic()

    # --- before the first trial ------------------------------------------------------------

    def stage(self, name: str) -> None:
        """Notes the end of a stage before the first trial; told with `--verbose`."""
        now = time.time()
        if self._stages:
            since = now - self._command_at
            self.say(f"  {name}: {now - self._stage_at:.1f} s (at {since:.1f} s)")
        self._stage_at = now

    def opened(
        self,
        limits: Limits,
        history: Iterable[tuple[TrainingRecord, Sequence[EpochMetrics]]] = (),
        baselines: Iterable[int] = (BASELINE,),
    ) -> None:
        """The study is open: what it may take, and what earlier sessions have done."""
        self.progress = Progress(limits)
        self.progress.recall(history, baselines)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While trainings run: a terminal has the screen, and afterwards what it had before."""
        try:
            if not self._screen:
                yield
                return
            live = Live(
                get_renderable=self._draw,
                console=self._console,
                refresh_per_second=REFRESHES_PER_S,
                transient=True,
            )
            with live, redirect_stderr(self.warn):
                # Then nothing is left to mend in the terminal of a search that is killed.
                self._console.show_cursor(True)
                self._live = live
                yield
        finally:
            self._live = None

    def _draw(self) -> RenderableType:
        with self._lock:
            return draw_screen(self.progress, self._console.width, self._console.height - 1)

    def interrupted(self, words: str) -> None:
        """Says at once what Ctrl-C does. May be called while a line is being printed."""
        if self._live:
            self.progress.notice = words
        else:
            os.write(sys.stderr.fileno(), f"\n{words}\n".encode())

    # --- events ----------------------------------------------------------------------------

    def first_step(self, at: float) -> None:
        """When an epoch's first optimizer step began, on the wall clock; the first one counts."""
        if self._stages:
            stage, since = at - self._stage_at, at - self._command_at
            self.say(f"  worker and first batch: {stage:.1f} s (first step at {since:.1f} s)")
        self._stages = False

    def began(self, proposal: Proposal[TrialConfig], gpus: float | None = None) -> None:
        """Says that a training begins or goes on; without `gpus` it has the share of the limits."""
        with self._lock:
            training = self.progress.started(proposal, gpus)
        done, trials = proposal.epochs_done, self.progress.limits.trials
        finalist = proposal.training.is_finalist
        begins = "starts, with a fresh seed" if finalist else f"starts ({trials} in all)"
        self._detail(training, f"goes on after epoch {done}" if done else begins)

    def measured(self, record: TrialRecord) -> None:
        """Says what a trial's network costs."""
        self._detail(
            self.progress.trainings[record.training],
            f"network of {record.parameters_m:.4g} M parameters, {record.latency_ms:g} ms an image",
        )

    def epoch(self, training: TrainingId, metrics: EpochMetrics, *, new: bool = True) -> None:
        """Says what an epoch gave; a trial's is marked when it is the best so far."""
        value, best = metrics.val_top1 or 0.0, self.progress.highest
        if new:
            with self._lock:
                new = self.progress.epoch(training, metrics)
        mark = "  best so far" if new and not training.is_finalist and value > best else ""
        loss = "—" if metrics.train_loss is None else f"{metrics.train_loss:.3f}"
        progress = self.progress.trainings[training]
        self._detail(
            progress,
            f"epoch {metrics.epoch:>2}/{progress.length}  val_top1 {value:.3f}  "
            f"gap {metrics.gap or 0:+.3f}  train loss {loss}  "
            f"{metrics.images_per_s:.0f} images/s{mark}",
        )

    def noted(self, training: TrainingId, note: str) -> None:
        """Says what a training says of itself."""
        self._event(training, note)

    def moved(self, training: TrainingId, epochs_done: int) -> None:
        """Says that a training's node was lost, and that it goes on at another."""
        words = f"its node was lost: goes on elsewhere after epoch {epochs_done}"
        self._event(training, words, wrong=True)

    def retried(self, proposal: Proposal[TrialConfig], record: TrainingRecord) -> None:
        """Says that a trial broke off and is tried again; of a finalist no record says why."""
        if isinstance(record, FinalistRecord):
            return
        at_once = proposal.config.micro_batch_size
        how = f" with at most {at_once} images at once" if at_once else ""
        done, why = proposal.epochs_done, record.retried
        words = f"broke off, tried again after epoch {done}{how}: {why}"
        self._event(proposal.training, words, wrong=True)

    def ended(self, record: TrainingRecord) -> None:
        """Says how a training ended: with the reason, or a finalist's val_top1."""
        with self._lock:
            self.progress.ended(record)
        self._event(record.training, describe(record), wrong=record.state is TrialState.FAILED)

    def _detail(self, progress: TrainingProgress, text: str) -> None:
        """Prints news that the screen has anyway."""
        if self._live is None or self._verbose:
            self._event(progress.training, text)

    def _event(self, training: TrainingId, text: str, *, wrong: bool = False) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        name = self.progress.trainings[training].name + (":" if training.is_finalist else "")
        tell = self.warn if wrong else self.say
        tell(f"{minutes:3d}:{seconds:02d}  {name:<9} {text}")


def has_screen(console: Console) -> bool:
    """Whether somebody looks: neither a pipe nor a file, no dumb terminal, and not in CI."""
    return console.file.isatty() and console.is_interactive and not os.environ.get("CI")


def describe(record: TrainingRecord) -> str:
    """How a training stands, in words; a finalist's that is complete with its val_top1."""
    if record.state is TrialState.STOPPED:
        return f"stopped, {record.reason}: {record.detail}"
    if record.state is TrialState.FAILED:
        why = f", {record.reason}" if record.reason else ""
        return f"failed{why}: {record.detail}"
    if isinstance(record, FinalistRecord) and record.val_top1 is not None:
        return f"{record.state}, val_top1 {record.val_top1:.3f}"
    return "complete" if record.state is TrialState.COMPLETE else "unfinished"
