"""Runs whole searches on a simulated clock."""

import argparse
import heapq
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from results.analysis.ranking import rank_key
from results.analysis.rung_values import quiet_optuna
from results.records import StopReason
from search.config.options import SearchOptions
from search.early_stopping.asha import default_grace
from search.early_stopping.decision import Ending, Rules, make_rules
from search.simulation.points import Point
from search.simulation.policies import POLICIES, Policy
from search.simulation.recorded_curves import Curves
from search.simulation.screened_study import ScreenedStudy, short_metrics
from search.simulation.steered_search import SteeredSearch
from search.study.proposer import Proposal

SHARES = (0.25, 0.5, 1.0)
"""A search is judged at these shares of its budget."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Records one trained epoch of a simulated search; `time_s` is the moment at which it ended, in
    simulated seconds, and `diverged` says whether it ended its trial as diverged.
    """

    time_s: float
    trial: int
    row: int
    epoch: int
    val: float
    diverged: bool = False

    @property
    def number(self) -> int:
        """Returns the number of the trial, by which trials of equal values are ranked."""
        return self.trial

    @property
    def trusted(self) -> bool:
        """Returns whether the trial's results count after this epoch."""
        return not self.diverged

    @property
    def last_val_top1(self) -> float:
        """Returns the value by which the trial is ranked after this epoch."""
        return self.val


def latest_value(events: Sequence[Event]) -> Event:
    """Returns the latest epoch of the trial that is the best one after these epochs, as a search
    chooses it (`results.analysis.ranking`).
    """
    return min({event.trial: event for event in events}.values(), key=rank_key)


def highest_value(events: Sequence[Event]) -> Event:
    """Returns the first epoch with the highest value of all, by which many tools choose."""
    return max(events, key=lambda event: event.val)


@dataclass(slots=True)
class Trace:
    """Records a simulated search: its epochs in the order in which they ended, and how many epochs
    of full trainings the short trainings before them took as long as.
    """

    curves: Curves
    events: list[Event] = field(default_factory=list)
    short_epochs: float = 0.0

    def regrets(
        self, epochs: Sequence[int], choose: Callable[[Sequence[Event]], Event] = latest_value
    ) -> list[float]:
        """Returns the regret of the configuration that would be handed over after each of these
        numbers of trained epochs, counted over all trials together. Before any, and while short
        trainings come first, it is 1. `choose` returns an epoch of its trial.
        """
        scale = RegretScale.of(self.curves)
        counts = [max(0, e - round(self.short_epochs)) for e in epochs]
        return [scale.regret(choose(self.events[:n]).row) if n else 1.0 for n in counts]


@dataclass(frozen=True, slots=True)
class RegretScale:
    """Measures the regret of a configuration: 0 for the table's best one after full training, and 1
    for the median.

    A configuration counts with its value after the last epoch instead of the one for which it was
    chosen, so that a lucky epoch wins nothing. The scale ends at the median because the worst value
    in a table is an accident: where losses explode, everything else would seem as good as the best.
    """

    final: "np.ndarray[tuple[int], np.dtype[np.float64]]"
    best: float
    median: float

    @classmethod
    def of(cls, curves: Curves) -> "RegretScale":
        """Returns the scale of regret for these curves."""
        final = curves.val[:, -1]
        return cls(final, float(final.max()), float(np.median(final)))

    def regret(self, row: int) -> float:
        """Returns the regret of the configuration in this row, and 0 where all configurations are
        equal.
        """
        spread = self.best - self.median
        return (self.best - float(self.final[row])) / spread if spread else 0.0


def simulate(
    policy: Policy,
    curves: Curves,
    *,
    workers: int,
    epochs: int,
    steered: SteeredSearch | None = None,
) -> Trace:
    """Runs a policy until `epochs` epochs are trained in total, or nothing is left to train, and
    returns the trace of the search.

    A free worker asks for a trial, trains its epochs one after the other, reports each when it
    ends, and asks again when the policy ends the trial. Decisions take no time. Epochs that end at
    the same moment are reported in the order in which they began.

    steered: what a user asks of the search, and when. Its study decides as the `policy`.
    """
    trace, now, order, short = Trace(curves), 0.0, 0, curves.short
    mean_s = float(curves.epoch_s.mean())
    running: list[tuple[float, int, Proposal[Point], int, int]] = []
    while len(trace.events) + trace.short_epochs < epochs:
        at_once = steered.at_once if steered else workers
        while len(running) < at_once and (proposal := policy.ask()) is not None:
            row = curves.nearest(proposal.config.params)
            seconds = short.seconds if short and proposal.training.screening else curves.epoch_s
            ends = now + float(seconds[row])
            heapq.heappush(running, (ends, order, proposal, row, proposal.epochs_done + 1))
            order += 1
        if steered and steered.next_at <= min((ends for ends, *_ in running), default=math.inf):
            now = steered.carry_out(now)
            continue
        if not running:
            break
        now, _, proposal, row, epoch = heapq.heappop(running)
        if steered:
            steered.now = now
        if isinstance(policy, ScreenedStudy) and short and proposal.training.screening:
            policy.report_short(proposal.number, short_metrics(curves, short, row))
            trace.short_epochs += float(short.seconds[row]) / mean_s
            continue
        metrics = curves.metrics(row, epoch)
        val, ending = float(curves.val[row, epoch - 1]), policy.report(proposal.number, metrics)
        event = Event(
            time_s=now,
            trial=proposal.number,
            row=row,
            epoch=epoch,
            val=val,
            diverged=isinstance(ending, Ending) and ending.reason is StopReason.DIVERGED,
        )
        trace.events.append(event)
        if ending is None and epoch < curves.epochs:
            ends = now + float(curves.epoch_s[row])
            heapq.heappush(running, (ends, order, proposal, row, epoch + 1))
            order += 1
    return trace


def make_simulated_rules(options: SearchOptions, curves: Curves) -> Rules:
    """Returns the early-stopping rules of `search.run` for trials as long as these curves."""
    grace = options.grace or default_grace(curves.epochs)
    return make_rules(options, epochs=curves.epochs, grace=grace, num_classes=curves.num_classes)


def mean_regrets(
    name: str, curves: Curves, options: SearchOptions, arguments: argparse.Namespace
) -> list[float]:
    """Returns the mean regret of a policy at each share of the budget, over searches with different
    seeds, and the mean share that they used of it, because `--min-gain` may end them earlier.

    arguments: the command line, with `budget` in full trainings, `workers`, and the number of
        `seeds`.
    """
    budget = round(arguments.budget * curves.epochs)
    found = []
    for seed in range(arguments.seeds):
        with quiet_optuna():
            policy = POLICIES[name](curves, make_simulated_rules(options, curves), seed)
            trace = simulate(policy, curves, workers=arguments.workers, epochs=budget)
        regrets = trace.regrets([max(1, round(share * budget)) for share in SHARES])
        found.append([*regrets, len(trace.events) / budget])
    return [statistics.mean(values) for values in zip(*found, strict=True)]
