"""What a search says while it runs: one plain line an event, or one screen in a terminal."""

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import psutil
from rich.console import Console, RenderableType
from rich.live import Live

from results.analysis.finalist_comparison import BASELINE
from results.finalist_store import RepeatId
from results.records import EpochMetrics, FinalistRecord, TrialRecord, TrialState
from search.monitoring.console import plain_printer, redirect_stderr
from search.monitoring.progress import Limits, Progress, TrainingId, TrainingProgress
from search.monitoring.screen import draw_screen
from search.study.proposal import Proposal
from trainables.config import TrialConfig

REFRESHES_PER_S = 2


class TrialLogger(Protocol):
    """Hears of trainings, in the thread that records them: whatever takes long goes elsewhere."""

    def began(self, training: TrainingProgress) -> None:
        """Also when it goes on after a break."""

    def trained(self, training: TrainingProgress) -> None:
        """A new epoch, the last of its metrics."""

    def ended(self, training: TrainingProgress) -> None:
        """It is told how."""

    def close(self) -> None:
        """The search ends."""


class Monitor:
    """Prints to `console`, by `say` what is news and by `warn` what went wrong.

    quiet: no news. verbose: all news, also where a screen shows them, and how long the start took.
    """

    def __init__(
        self, console: Console, trials: int, *, verbose: bool = False, quiet: bool = False
    ) -> None:
        self.warn = plain_printer(console)
        self.say = (lambda _: None) if quiet else self.warn
        self.progress = Progress(Limits(trials=trials))
        self.trial_loggers: list[TrialLogger] = []
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
        records: Mapping[int, TrialRecord],
        epochs: Mapping[int, Sequence[EpochMetrics]],
        finalists: Mapping[RepeatId, FinalistRecord],
        repeats: Mapping[RepeatId, Sequence[EpochMetrics]],
        baselines: Iterable[int] = (BASELINE,),
    ) -> None:
        """The study is open: what it may take, and what earlier sittings have done."""
        self.progress = Progress(limits)
        self.progress.recall(records, epochs, finalists, repeats, baselines)

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
            for follower in self.trial_loggers:
                follower.close()

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

    def started(self, proposal: Proposal[TrialConfig], gpus: float | None = None) -> None:
        """A trial begins, or goes on after a resume, with a share of a GPU."""
        with self._lock:
            training = self.progress.started(proposal, gpus)
        done, again = proposal.epochs_done, proposal.repeat
        trials = self.progress.limits.trials
        begins = "starts, with a fresh seed" if again else f"starts ({trials} in all)"
        self._detail(training, f"goes on after epoch {done}" if done else begins)
        for follower in self.trial_loggers:
            follower.began(training)

    def measured(self, record: TrialRecord) -> None:
        """What a trial's network costs, where the search compares by it."""
        self._detail(
            self.progress.trainings[record.number, None],
            f"network of {record.parameters_m:.4g} M parameters, {record.latency_ms:g} ms an image",
        )

    def epoch(self, number: int, m: EpochMetrics, *, repeat: int | None = None) -> None:
        """One epoch of one training; a trial's is marked when it is the best so far."""
        key, value, best = (number, repeat), m.val_top1 or 0.0, self.progress.highest
        with self._lock:
            new = self.progress.epoch(key, m)
        mark = "  best so far" if new and repeat is None and value > best else ""
        loss = "—" if m.train_loss is None else f"{m.train_loss:.3f}"
        training = self.progress.trainings[key]
        self._detail(
            training,
            f"epoch {m.epoch:>2}/{training.length}  val_top1 {value:.3f}  "
            f"gap {m.gap or 0:+.3f}  train loss {loss}  {m.images_per_s:.0f} images/s{mark}",
        )
        if new:
            for follower in self.trial_loggers:
                follower.trained(training)

    def note(self, number: int, repeat: int | None, note: str) -> None:
        """What a training says of itself before its first epoch."""
        self._event((number, repeat), note)

    def moved(self, number: int, repeat: int | None, done: int) -> None:
        """A training's node was lost, and it goes on at another."""
        key = number, repeat
        self._event(key, f"its node was lost: goes on elsewhere after epoch {done}", wrong=True)

    def retried(self, proposal: Proposal[TrialConfig], record: TrialRecord) -> None:
        """A trial broke off and is tried again."""
        at_once = proposal.config.micro_batch_size
        how = f" with at most {at_once} images at once" if at_once else ""
        done, why = proposal.epochs_done, record.retried
        words = f"broke off, tried again after epoch {done}{how}: {why}"
        self._event((record.number, None), words, wrong=True)

    def ended(self, record: TrialRecord) -> None:
        """A trial's end, with the reason."""
        self._ended((record.number, None), record, describe(record))

    def finalist_ended(self, record: FinalistRecord) -> None:
        """A finalist's training ends, with its last epoch's val_top1 or the reason."""
        value = "" if record.val_top1 is None else f", val_top1 {record.val_top1:.3f}"
        self._ended((record.trial, record.repeat), record, describe(record) + value)

    def _ended(self, key: TrainingId, record: TrialRecord | FinalistRecord, words: str) -> None:
        with self._lock:
            self.progress.ended(key, record)
        self._event(key, words, wrong=record.state is TrialState.FAILED)
        for follower in self.trial_loggers:
            follower.ended(self.progress.trainings[key])

    def _detail(self, training: TrainingProgress, text: str) -> None:
        """News that the screen has anyway."""
        if self._live is None or self._verbose:
            self._event((training.number, training.repeat), text)

    def _event(self, key: TrainingId, text: str, *, wrong: bool = False) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        name = self.progress.trainings[key].name + (":" if key[1] else "")
        tell = self.warn if wrong else self.say
        tell(f"{minutes:3d}:{seconds:02d}  {name:<9} {text}")


def has_screen(console: Console) -> bool:
    """Whether somebody looks: neither a pipe nor a file, no dumb terminal, and not in CI."""
    return console.file.isatty() and console.is_interactive and not os.environ.get("CI")


def describe(record: TrialRecord | FinalistRecord) -> str:
    """How a training stands, in words."""
    if record.state is TrialState.STOPPED:
        return f"stopped, {record.reason}: {record.detail}"
    if record.state is TrialState.FAILED:
        why = f", {record.reason}" if record.reason else ""
        return f"failed{why}: {record.detail}"
    return "complete" if record.state is TrialState.COMPLETE else "unfinished"
