"""Whole searches on a simulated clock."""

import argparse
import heapq
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from search.config.options import SearchOptions
from search.early_stopping.asha import default_grace
from search.early_stopping.decision import Rules
from search.simulation.policies import POLICIES, Point, Policy
from search.simulation.recorded_curves import Curves
from search.study.optuna_journal import quiet_optuna
from search.study.proposal import Proposal

SHARES = (0.25, 0.5, 1.0)
"""The shares of the budget at which a search is judged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One trained epoch of a simulated search; `time_s` is when it ended."""

    time_s: float
    trial: int
    row: int
    epoch: int
    val: float


@dataclass(slots=True)
class Trace:
    """A simulated search: its epochs in the order in which they ended."""

    curves: Curves
    events: list[Event] = field(default_factory=list)

    def regrets(self, epochs: Sequence[int]) -> list[float]:
        """The incumbent's regret after so many trained epochs, in all trials together."""
        rows = self._incumbents()
        scale = RegretScale.of(self.curves)
        return [scale.regret(rows[min(e, len(rows)) - 1]) if e else 1.0 for e in epochs]

    def _incumbents(self) -> list[int]:
        """After each event, the row with the highest value seen: what a user would be handed."""
        best, row, rows = -np.inf, -1, []
        for event in self.events:
            if event.val > best:
                best, row = event.val, event.row
            rows.append(row)
        return rows


@dataclass(frozen=True, slots=True)
class RegretScale:
    """Regret of a configuration: 0 for the table's best after full training, 1 for its median.

    What counts is the value after the last epoch, not the one for which a configuration was
    chosen: a lucky epoch wins nothing. The median, because the worst of a table is an accident,
    and where losses explode everything else would be as good as the best.
    """

    final: "np.ndarray[tuple[int], np.dtype[np.float64]]"
    best: float
    median: float

    @classmethod
    def of(cls, curves: Curves) -> "RegretScale":
        final = curves.val[:, -1]
        return cls(final, float(final.max()), float(np.median(final)))

    def regret(self, row: int) -> float:
        """The regret of one row; 0 throughout where all are equal."""
        spread = self.best - self.median
        return (self.best - float(self.final[row])) / spread if spread else 0.0


def simulate(policy: Policy, curves: Curves, *, workers: int, epochs: int) -> Trace:
    """Runs a policy until `epochs` epochs are trained in all, or nothing is left to train.

    A free worker asks for a trial, trains its epochs one after the other, reports each as it
    ends, and asks again when told so. Deciding takes no time. Epochs that end at the same moment
    are reported in the order in which they began.
    """
    trace, now, order = Trace(curves), 0.0, 0
    running: list[tuple[float, int, Proposal[Point], int, int]] = []
    free = workers
    while len(trace.events) < epochs:
        while free and (proposal := policy.ask()) is not None:
            row = curves.nearest(proposal.config.params)
            ends = now + float(curves.epoch_s[row])
            heapq.heappush(running, (ends, order, proposal, row, proposal.epochs_done + 1))
            order, free = order + 1, free - 1
        if not running:
            break
        now, _, proposal, row, epoch = heapq.heappop(running)
        metrics = curves.metrics(row, epoch)
        val = float(curves.val[row, epoch - 1])
        trace.events.append(Event(time_s=now, trial=proposal.number, row=row, epoch=epoch, val=val))
        if policy.report(proposal.number, metrics) is not None or epoch >= curves.epochs:
            free += 1
        else:
            ends = now + float(curves.epoch_s[row])
            heapq.heappush(running, (ends, order, proposal, row, epoch + 1))
            order += 1
    return trace


def make_rules(options: SearchOptions, curves: Curves) -> Rules:
    """The rules of `search.run` for trials of these curves' length."""
    return Rules(
        epochs=curves.epochs,
        grace=options.grace or default_grace(curves.epochs),
        factor=options.reduction_factor,
        max_gap=options.max_gap,
        gap_patience=options.gap_patience,
        plateau_patience=options.plateau_patience,
        num_classes=curves.num_classes,
    )


def _means(
    name: str, curves: Curves, options: SearchOptions, given: argparse.Namespace
) -> list[float]:
    """A policy's mean regret at each share of the budget."""
    budget = round(given.budget * curves.epochs)
    found = []
    for seed in range(given.seeds):
        with quiet_optuna():
            policy = POLICIES[name](curves, make_rules(options, curves), seed)
            trace = simulate(policy, curves, workers=given.workers, epochs=budget)
        found.append(trace.regrets([max(1, round(share * budget)) for share in SHARES]))
    return [statistics.mean(values) for values in zip(*found, strict=True)]
