"""Ranks the trials of a search. Whatever shows, exports or reuses the best trial asks this module.

Trials are compared by their latest val_top1, not by the highest of all epochs: a maximum over
epochs favours a trial that had one lucky epoch, or one that has overfitted since, whereas final
training ends with its last epoch and has no val to choose another one by. On recorded curves, the
configuration that this rule hands over has less regret at every share of the budget than that with
the highest value of any epoch (results/published/handed-over.md).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from results.analysis.finalist_comparison import Outcome
from results.analysis.pareto import pareto_front
from results.records import TrialRecord

RULE = "highest val_top1 after the latest epoch, of all trials that neither failed nor diverged"
"""Without finalists, this rule selects the best trial."""

REASON = "a training to the end also ends with its last epoch, so that no lucky epoch counts"
"""This is the reason for `RULE`, for people who read only best.yaml."""


class Ranked(Protocol):
    """Describes what is ranked: a trial's number, whether its results count, and the val_top1 after
    its latest epoch, or `None` before the first one.
    """

    @property
    def number(self) -> int: ...

    @property
    def trusted(self) -> bool: ...

    @property
    def last_val_top1(self) -> float | None: ...


R = TypeVar("R", bound=Ranked)


def rank_key(trial: Ranked) -> tuple[bool, float, int]:
    """Returns a key that sorts the best trial first, and of equal trials the earlier one. Trials
    that failed or diverged come after all others, whatever accuracy they have reached.
    """
    return (not trial.trusted, -(trial.last_val_top1 or 0.0), trial.number)


def rank_trials(trials: Iterable[R]) -> list[R]:
    """Returns the trials with a finished epoch, best first."""
    return sorted((t for t in trials if t.last_val_top1 is not None), key=rank_key)


def best_trial(trials: Mapping[int, TrialRecord], objectives: Sequence[str]) -> TrialRecord | None:
    """Returns the best trial, or `None` where every trial failed, diverged or has yet to finish an
    epoch.

    With several objectives, the best is the most accurate trial on their Pareto front.
    """
    if len(objectives) > 1 and (front := pareto_front(trials, objectives)):
        return front[0]
    order = rank_trials(trials.values())
    return order[0] if order and order[0].trusted else None


def choose_winner(
    trials: Mapping[int, TrialRecord], objectives: Sequence[str], outcome: Outcome | None
) -> TrialRecord | None:
    """Returns the trial whose configuration a run hands over: the finalists' winner, or the best
    trial where finalists haven't decided, or `None` where there is neither.
    """
    if outcome is not None and outcome.winner is not None:
        return trials[outcome.winner.trial]
    return best_trial(trials, objectives)


def baseline_of(manifest: Mapping[str, Any], trial: int) -> int:
    """Returns the number of the baseline that was planned with as many epochs as `trial`.

    Each horizon of a run, which is a number of epochs per trial, begins with a baseline of its own.
    Manifests of older versions don't list horizons, because their runs have one.
    """
    horizons = manifest.get("horizons", [{"first": 0}])
    return max(int(each["first"]) for each in horizons if each["first"] <= trial)
