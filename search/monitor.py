"""What a search says while it runs: one plain line an event."""

import time

import psutil
from rich.console import Console

from results.comparison import BASELINE
from results.records import EpochMetrics, FinalistRecord, TrialRecord, TrialState
from search.printing import plain
from search.trials import Proposal
from trainables.config import TrialConfig


class Monitor:
    """Prints to `console`, by `say`. Keeps only what its own lines need."""

    def __init__(self, console: Console, trials: int, *, verbose: bool) -> None:
        self.say, self._trials = plain(console), trials
        # By trial and repeat: its name, and its last epoch.
        self._known: dict[tuple[int, int | None], tuple[str, int]] = {}
        self._command_at = psutil.Process().create_time()
        self._stage_at = self._command_at
        self._verbose = verbose
        self._started = time.monotonic()
        self._best = 0.0

    def stage(self, name: str) -> None:
        """Notes the end of a stage before the first trial; told with `--verbose`."""
        now = time.time()
        if self._verbose:
            since = now - self._command_at
            self.say(f"  {name}: {now - self._stage_at:.1f} s (at {since:.1f} s)")
        self._stage_at = now

    def first_step(self, at: float) -> None:
        """When an epoch's first optimizer step began, on the wall clock; the first one counts."""
        if self._verbose:
            stage, since = at - self._stage_at, at - self._command_at
            self.say(f"  worker and first batch: {stage:.1f} s (first step at {since:.1f} s)")
        self._verbose = False

    def started(self, proposal: Proposal[TrialConfig]) -> None:
        """A trial begins, or goes on after a resume."""
        done, again = proposal.epochs_done, proposal.repeat
        first = proposal.baseline or proposal.number == BASELINE
        name = "baseline" if first else f"trial {proposal.number}"
        name += f", repeat {again}:" if again else ""
        self._known[proposal.number, again] = name, proposal.config.epochs
        begins = "starts, with a fresh seed" if again else f"starts ({self._trials} in all)"
        self._event(proposal.number, f"goes on after epoch {done}" if done else begins, again)

    def measured(self, record: TrialRecord) -> None:
        """What a trial's network costs, where the search compares by it."""
        self._event(
            record.number,
            f"network of {record.parameters_m:.4g} M parameters, {record.latency_ms:g} ms an image",
        )

    def epoch(self, number: int, m: EpochMetrics, *, repeat: int | None = None) -> None:
        """One epoch of one training; a trial's is marked when it is the best so far."""
        value, mark = m.val_top1 or 0.0, ""
        if repeat is None and value > self._best:
            self._best, mark = value, "  best so far"
        loss = "—" if m.train_loss is None else f"{m.train_loss:.3f}"
        self._event(
            number,
            f"epoch {m.epoch:>2}/{self._known[number, repeat][1]}  val_top1 {value:.3f}  "
            f"gap {m.gap or 0:+.3f}  train loss {loss}  {m.images_per_s:.0f} images/s{mark}",
            repeat,
        )

    def noted(self, number: int, repeat: int | None, note: str) -> None:
        """What a training says of itself before its first epoch."""
        self._event(number, note, repeat)

    def moved(self, number: int, repeat: int | None, done: int) -> None:
        """A training's node was lost, and it goes on at another."""
        self._event(number, f"its node was lost: goes on elsewhere after epoch {done}", repeat)

    def retried(self, proposal: Proposal[TrialConfig], record: TrialRecord) -> None:
        """A trial broke off and is tried again."""
        at_once = proposal.config.micro_batch_size
        how = f" with at most {at_once} images at once" if at_once else ""
        self._event(
            record.number,
            f"broke off, tried again after epoch {proposal.epochs_done}{how}: {record.retried}",
        )

    def ended(self, record: TrialRecord) -> None:
        """A trial's end, with the reason."""
        self._event(record.number, describe(record))

    def finalist_ended(self, record: FinalistRecord) -> None:
        """A finalist's training ends, with its last epoch's val_top1 or the reason."""
        value = "" if record.val_top1 is None else f", val_top1 {record.val_top1:.3f}"
        self._event(record.trial, describe(record) + value, record.repeat)

    def _event(self, number: int, text: str, repeat: int | None = None) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        name = self._known[number, repeat][0]
        self.say(f"{minutes:3d}:{seconds:02d}  {name:<9} {text}")


def describe(record: TrialRecord | FinalistRecord) -> str:
    """How a training stands, in words."""
    if record.state is TrialState.STOPPED:
        return f"stopped, {record.reason}: {record.detail}"
    if record.state is TrialState.FAILED:
        why = f", {record.reason}" if record.reason else ""
        return f"failed{why}: {record.detail}"
    return "complete" if record.state is TrialState.COMPLETE else "unfinished"
