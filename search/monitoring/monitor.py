"""Prints the progress of a search: as one plain line an event, or as a screen in a terminal."""

import os
import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil
from rich.console import Console, RenderableType
from rich.live import Live

from common.text import format_clock
from results.analysis.expected_gain import describe_end, describe_gain, is_enough
from results.analysis.rung_worth import advise
from results.records import (
    EpochMetrics,
    SideRecord,
    TrainingId,
    TrainingRecord,
    TrialRecord,
    TrialState,
)
from results.side_store import SteeringRecord
from search.hardware.training_speed import TrainingSpeed
from search.monitoring.console import plain_printer, print_exactly, redirect_stderr
from search.monitoring.limits import Limits
from search.monitoring.machine_meter import MachineMeter
from search.monitoring.progress import Progress
from search.monitoring.screen import draw_screen
from search.monitoring.training_progress import TrainingProgress
from search.study.budget import GpuMeter
from search.study.observer import Observer
from search.study.proposer import Proposal
from trainables.config import TrialConfig

REFRESHES_PER_S = 2

EVERY = 10
"""The expected gain is printed when so many more trials have ended."""


class Monitor(Observer):
    """Prints a search's events to `console`: with `inform` what is news, and with `warn` what went
    wrong.

    The monitor updates `progress`, which other observers read; it therefore comes before them.

    trials: the number of trials of the search.
    verbose: whether all events are printed although a screen shows them, and how long the stages
        before the first trial took.
    quiet: whether only what went wrong is printed.
    """

    def __init__(
        self, console: Console, trials: int, *, verbose: bool = False, quiet: bool = False
    ) -> None:
        self.warn = plain_printer(console)
        self.inform = (lambda _: None) if quiet else self.warn
        self._quiet = quiet
        self.progress = Progress(Limits(trials=trials))
        self.console, self._screen = console, not quiet and has_screen(console)
        self._live: Live | None = None
        self._machine = MachineMeter()
        self._lock = threading.Lock()  # of the progress, which the screen's thread reads
        self._command_at = psutil.Process().create_time()
        self._stage_at = self._command_at
        self._verbose, self._stages = verbose, verbose and not quiet
        self._advised = self._judged = False

    # --- before the first trial ------------------------------------------------------------

    def stage(self, name: str) -> None:
        """Records the end of a stage before the first trial, and prints it if verbose."""
        now = time.time()
        if self._stages:
            since = now - self._command_at
            self.inform(f"  {name}: {now - self._stage_at:.1f} s (at {since:.1f} s)")
        self._stage_at = now

    def show_address(self, text: str) -> None:
        """Prints an address as it is, with the token that opens it if there is one."""
        if not self._quiet:
            print_exactly(self.console, text)

    def opened(
        self,
        limits: Limits,
        history: Iterable[tuple[TrainingRecord, Sequence[EpochMetrics]]] = (),
        baselines: Collection[int] = (),
        speed: TrainingSpeed | None = None,
        meter: GpuMeter | None = None,
    ) -> None:
        """Starts the progress of a study with its limits, and adds what earlier sessions did:
        (record, epochs) of each training. `baselines` are the numbers of the baselines' trials, and
        `speed` estimates first epochs. `meter` measures the time of GPUs.
        """
        self.progress = Progress(limits, speed=speed, meter=meter)
        self.progress.recall(history, baselines)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Shows the screen during the block, if there is one, and restores the terminal after
        it.
        """
        try:
            if not self._screen:
                yield
                return
            live = Live(
                get_renderable=self._draw,
                console=self.console,
                refresh_per_second=REFRESHES_PER_S,
                transient=True,
            )
            with live, redirect_stderr(self.warn):
                # The terminal of a search that is killed then needs no repair.
                self.console.show_cursor(True)
                self._live = live
                yield
        finally:
            self._live = None

    def _draw(self) -> RenderableType:
        with self._lock:
            width, height = self.console.width, self.console.height - 1
            return draw_screen(self.progress, width, height, self._machine.measure())

    def interrupted(self, words: str) -> None:
        """Shows at once what a signal does. May be called while a line is being printed."""
        if self._live:
            self.progress.notice = words
        else:
            with suppress(OSError):  # the terminal may be closed
                os.write(sys.stderr.fileno(), f"\n{words}\n".encode())

    # --- events ----------------------------------------------------------------------------

    def first_step(self, at: float) -> None:
        """Prints, if verbose, when the first optimizer step of the search began. `at` is in seconds
        since 1970; later steps are ignored.
        """
        if self._stages:
            stage, since = at - self._stage_at, at - self._command_at
            self.inform(f"  worker and first batch: {stage:.1f} s (first step at {since:.1f} s)")
        self._stages = False

    def began(self, proposal: Proposal[TrialConfig], gpus: float | None = None) -> None:
        """Prints that a training begins or is resumed. Without `gpus`, its share of a GPU is that
        of the limits.
        """
        with self._lock:
            training = self.progress.started(proposal, gpus)
        done, trials = proposal.epochs_done, self.progress.limits.trials
        begins = f"starts ({trials} in all)"
        if proposal.training.is_finalist:
            begins = "starts, with a fresh seed"
        elif proposal.training.screening:
            begins = f"starts ({self.progress.limits.screening} short ones in all)"
        elif proposal.by_hand:
            begins = f"starts, as asked by hand ({trials} in all)"
        self._detail(training, f"goes on after epoch {done}" if done else begins)

    def measured(self, record: TrialRecord) -> None:
        """Prints the size and the latency of a trial's network."""
        self._detail(
            self.progress.trainings[record.training],
            f"network of {record.parameters_m:.4g} M parameters, {record.latency_ms:g} ms an image",
        )

    def epoch(self, training: TrainingId, metrics: EpochMetrics, *, new: bool = True) -> None:
        """Prints the metrics of an epoch, and marks the one after which its trial leads with a
        higher accuracy than the best trial had before.
        """
        before = self.progress.leader()
        highest = before.last_val_top1 if before else None
        if new:
            with self._lock:
                self.progress.epoch(training, metrics)
        loss = "—" if metrics.train_loss is None else f"{metrics.train_loss:.3f}"
        progress = self.progress.trainings[training]
        leads = new and self.progress.leader() is progress
        mark = "  best so far" if leads and (metrics.val_top1 or 0.0) > (highest or 0.0) else ""
        self._detail(
            progress,
            f"epoch {metrics.epoch:>2}/{progress.length}  val_top1 {metrics.val_top1 or 0:.3f}  "
            f"gap {metrics.gap or 0:+.3f}  train loss {loss}  "
            f"{metrics.images_per_s:.0f} images/s{mark}",
        )

    def noted(self, training: TrainingId, note: str) -> None:
        """Prints a note from a training about itself."""
        self._event(training, note)

    def moved(self, training: TrainingId, epochs_done: int) -> None:
        """Prints that a training's node was lost, and that the training continues on another."""
        words = f"its node was lost: goes on elsewhere after epoch {epochs_done}"
        self._event(training, words, wrong=True)

    def retried(self, proposal: Proposal[TrialConfig], record: TrainingRecord) -> None:
        """Prints that a trial broke off and is tried again. Nothing is printed for a training
        beside the trials, whose record doesn't contain the reason.
        """
        if not isinstance(record, TrialRecord):
            return
        at_once = proposal.config.micro_batch_size
        how = f" with at most {at_once} images at once" if at_once else ""
        done, why = proposal.epochs_done, record.retried
        words = f"broke off, tried again after epoch {done}{how}: {why}"
        self._event(proposal.training, words, wrong=True)

    def ended(self, record: TrainingRecord) -> None:
        """Prints how a training ended: with the reason, or with a finalist's val_top1. When the
        first rung turns out to be worthless, a sentence with the remedy follows, once.
        """
        with self._lock:
            self.progress.ended(record)
        self._event(record.training, describe(record), wrong=record.state is TrialState.FAILED)
        if record.training.screening:
            self._judge()
        if not self._advised:
            limits = self.progress.limits
            places = {"space": limits.space, "dataset": limits.dataset, "data": limits.data}
            advice = advise(self.progress.rungs, limits.directory, places)
            self._advised = advice is not None
            if advice:
                self.inform(advice)
        gain = self.progress.trainings[record.training].gain
        limits, begun = self.progress.limits, len(self.progress.trials)
        if gain and begun < limits.trials and is_enough(gain, min_gain := limits.min_gain):
            self._event(record.training, f"the last one: {describe_end(gain, min_gain)}")
        elif gain and gain.ended % EVERY == 0:
            self._detail(
                self.progress.trainings[record.training], f"expected gain: {describe_gain(gain)}"
            )

    def steered(self, record: SteeringRecord) -> None:
        """Prints what a user has changed, and shows the search by its new limits from now on."""
        with self._lock:
            self.progress.steered(record)
        at = format_clock(self.progress.elapsed_s())
        self.inform(f"{at:>6}  by hand   {record.words}: {record.answer}")

    def _judge(self) -> None:
        """Prints, once, what the screening has turned out to be worth."""
        if self._judged or (worth := self.progress.screening_worth()) is None:
            return
        self._judged = True
        follows = "the best are tried next" if worth.useful else "nothing follows from them"
        self.inform(f"screening: {worth.describe()}; {follows}.")

    def _detail(self, progress: TrainingProgress, text: str) -> None:
        """Prints an event that the screen shows too, unless only the screen is wanted."""
        if self._live is None or self._verbose:
            self._event(progress.training, text)

    def _event(self, training: TrainingId, text: str, *, wrong: bool = False) -> None:
        at = format_clock(self.progress.elapsed_s())
        name = self.progress.trainings[training].name + ("" if training.is_trial else ":")
        write = self.warn if wrong else self.inform
        write(f"{at:>6}  {name:<9} {text}")


def has_screen(console: Console) -> bool:
    """Returns whether a screen can be drawn: not in a pipe, a file, a dumb terminal, or CI."""
    return console.file.isatty() and console.is_interactive and not os.environ.get("CI")


def describe(record: TrainingRecord) -> str:
    """Returns a training's state in words: the reason for its end, or, of one beside the trials,
    its val_top1.
    """
    if record.state is TrialState.STOPPED:
        return f"stopped, {str(record.reason).replace('_', ' ')}: {record.detail}"
    if record.state is TrialState.FAILED:
        why = f", {record.reason}" if record.reason else ""
        return f"failed{why}: {record.detail}"
    if isinstance(record, SideRecord) and record.val_top1 is not None:
        return f"{record.state}, val_top1 {record.val_top1:.3f}"
    return "complete" if record.state is TrialState.COMPLETE else "unfinished"
