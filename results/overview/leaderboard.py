"""Lists the trials of a run, best first, with everything that is known of each in plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from results.analysis.finalist_comparison import compare_finalists
from results.analysis.pareto import objectives_of
from results.analysis.ranking import baseline_of, choose_winner, rank_trials
from results.analysis.run_records import RunRecords
from results.records import StopReason, TrialState


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedTrial:
    """Holds what a leaderboard says of one trial; `FIELDS` describes each value."""

    rank: int | None
    trial: int
    best: bool
    baseline: bool
    state: TrialState
    reason: StopReason | None
    detail: str | None
    retried: str | None
    epochs: int
    epochs_planned: int | None
    val_top1: float | None
    gap: float | None
    best_epoch: int | None
    best_val_top1: float | None
    wall_s: float
    latency_ms: float | None
    parameters_m: float | None
    params: dict[str, Any] = field(default_factory=dict)

    def value(self, name: str) -> Any:
        """Returns the value of a column: that of a field, or of the parameter NAME for
        `params.NAME`, which is `None` where the trial has no such parameter.
        """
        before, dot, parameter = name.partition(".")
        return self.params.get(parameter) if dot else getattr(self, before)


FIELDS: Mapping[str, str] = {
    "rank": "the trial's place, from 1; null before its first epoch",
    "trial": "the trial's number; the first baseline is 0",
    "best": "whether best.yaml holds or would hold this trial's configuration",
    "baseline": "whether it trains the baseline's configuration",
    "state": ", ".join(TrialState),
    "reason": "why it ended early: " + ", ".join(StopReason),
    "detail": "the same in words, or the error of one that failed",
    "retried": "why training broke off once and was tried again",
    "epochs": "how many are trained",
    "epochs_planned": "how long its learning-rate schedule is",
    "val_top1": "after the latest epoch, a fraction; ranks the trials",
    "gap": "train_top1 - val_top1 after the latest epoch",
    "best_epoch": "the first epoch with the highest val_top1, from 1",
    "best_val_top1": "val_top1 there",
    "wall_s": "seconds of all its epochs, with their evaluation",
    "latency_ms": "of one image's inference; with several objectives only",
    "parameters_m": "the network's parameters in millions; likewise",
    "params": "the values that the sampler chose, by name",
}
"""These are the meanings of a `RankedTrial`'s values, in its order; JSON has the same keys."""


def rank_all(records: RunRecords) -> list[RankedTrial]:
    """Returns all trials of a run, best first, and last those without a finished epoch. Where
    finalists decided, the best trial may have another rank than 1.
    """
    trials, manifest = records.standings(), records.manifest
    order = rank_trials(trials.values())
    places = {each.number: place for place, each in enumerate(order, 1)}
    order += [each for each in trials.values() if each.number not in places]
    outcome = compare_finalists(records.finalists.values())
    winner = choose_winner(trials, objectives_of(manifest), outcome)
    baselines = {baseline_of(manifest, number) for number in trials}
    found = []
    for each in order:
        epochs = records.epochs[each.number]
        planned = each.config.get("epochs")
        found.append(
            RankedTrial(
                rank=places.get(each.number),
                trial=each.number,
                best=each is winner,
                baseline=each.number in baselines,
                state=each.state,
                reason=each.reason,
                detail=each.detail,
                retried=each.retried,
                epochs=each.epochs,
                epochs_planned=planned if type(planned) is int else None,
                val_top1=each.last_val_top1,
                gap=epochs[-1].gap if epochs else None,
                best_epoch=each.best_epoch,
                best_val_top1=each.best_val_top1,
                wall_s=each.wall_s,
                latency_ms=each.latency_ms,
                parameters_m=each.parameters_m,
                params=dict(each.params),
            )
        )
    return found


def column_names(trials: Sequence[RankedTrial]) -> list[str]:
    """Returns the names of all columns of these trials: the fields, then `params.NAME` for each
    parameter of any trial, in the order of their first use.
    """
    params = dict.fromkeys(
        name for each in sorted(trials, key=lambda each: each.trial) for name in each.params
    )
    return [*(name for name in FIELDS if name != "params"), *(f"params.{name}" for name in params)]
