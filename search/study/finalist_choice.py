"""Chooses a search's finalists, and the seeds that they are trained with."""

from collections.abc import Mapping
from typing import Any

from results.analysis.finalist_comparison import BASELINE
from results.analysis.ranking import rank_trials
from results.records import TrialRecord
from search.study.proposer import derived_seed


def choose_finalists(trials: Mapping[int, TrialRecord], count: int) -> list[int]:
    """Returns the numbers of the `count` best trials besides the baseline, best first, and then
    that of the baseline.

    Trials are ordered as the best trial is chosen (`results.analysis.ranking`). Trials that failed
    or diverged are left out, even the baseline, and so is any trial that has the same
    configuration as a better one but for its length, because all finalists are trained to the same
    length.
    """
    order = [record for record in rank_trials(trials.values()) if record.trusted]
    baseline = [record for record in order if record.number == BASELINE]
    chosen: list[TrialRecord] = []
    for record in order:
        if len(chosen) == count:
            break
        known = [_any_length(each) for each in (*baseline, *chosen)]
        if _any_length(record) not in known:
            chosen.append(record)
    return [record.number for record in (*chosen, *baseline)]


def _any_length(record: TrialRecord) -> dict[str, Any]:
    return record.config | {"epochs": None}


def repeat_seed(seed: int, repeat: int) -> int:
    """Returns the seed, of 32 bits, that all finalists' trainings number `repeat` have in a study
    with this `seed`.
    """
    return derived_seed(seed, f"repeat {repeat}")
