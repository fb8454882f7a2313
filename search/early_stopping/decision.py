"""Whether a trial goes on after an epoch: the order of the rules, and who is exempt from them."""

from collections.abc import Callable, Sequence

from results.records import EpochMetrics, StopReason
from search.early_stopping import rules as stopping
from search.study.horizons import Horizon
from search.trials import COMPLETE, Ending, Rules, stopped


def decide(
    number: int,
    epochs: Sequence[EpochMetrics],
    rules: Rules,
    horizon: Horizon,
    *,
    compare: Callable[[], bool],
    time_is_up: Callable[[], bool],
) -> Ending | None:
    """How trial `number` ends after the last of its `epochs`; `None` when it goes on.

    Divergence first, then completion, then what the baseline is exempt from. `compare` records
    that epoch at the rungs and says whether the trial goes on; a diverged one isn't compared.
    """
    last = epochs[-1].epoch
    if said := stopping.diverged(epochs, rules.num_classes):
        return stopped(StopReason.DIVERGED, said)
    goes_on = compare()
    if last >= horizon.epochs:
        return COMPLETE
    if time_is_up():
        return stopped(StopReason.BUDGET, "the time budget is used up")
    if horizon.is_baseline(number):
        return None
    if rules.max_gap and (said := stopping.overfitting(epochs, rules.max_gap, rules.gap_patience)):
        return stopped(StopReason.OVERFITTING, said)
    if rules.plateau_patience and (said := stopping.plateau(epochs, rules.plateau_patience)):
        return stopped(StopReason.PLATEAU, said)
    if not goes_on:
        return stopped(StopReason.RUNG, f"not in the top 1/{rules.factor} at epoch {last}")
    return None
