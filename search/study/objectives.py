"""Adds what a search optimises besides val_top1: the costs of a network in use."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

from results.analysis.pareto import Point, minimised, values
from results.records import NetworkCosts, TrialRecord

NETWORK = ("network", "image_size", "stem", "head_width")
"""One image's inference depends on these fields; precision is the same for all trials."""

_DECIDING = {"latency_ms": NETWORK, "parameters_m": ("network", "stem", "head_width")}


def find_constant_objectives(
    objectives: Sequence[str], searched: Iterable[str], space: str
) -> list[str]:
    """Returns a sentence for each objective that is the same in all trials of a space."""
    searched = set(searched)
    return [
        f"--objectives {name} needs networks that differ, but {space} searches none of "
        f"{', '.join(_DECIDING[name])}; leave it out, or choose a space that does."
        for name in objectives
        if name in _DECIDING and not searched & set(_DECIDING[name])
    ]


def add_costs(
    record: TrialRecord, others: Iterable[TrialRecord], costs: NetworkCosts | None = None
) -> TrialRecord:
    """Returns the record with the costs of its network: those of the first of `others` with the
    same network, or `costs`.

    Were each trial to count its own measurement, a lucky one would make it the fastest of many
    equal networks, which no val_top1 could dominate.
    """
    like = (each for each in others if each.latency_ms is not None and _same_network(each, record))
    if first := next(like, None):
        return replace(record, latency_ms=first.latency_ms, parameters_m=first.parameters_m)
    return replace(record, **asdict(costs)) if costs else record


def _same_network(one: TrialRecord, other: TrialRecord) -> bool:
    return all(one.config.get(name) == other.config.get(name) for name in NETWORK)


def costs_of(record: TrialRecord, objectives: Sequence[str]) -> Point:
    """Returns the trial's objectives besides val_top1, to be minimised. Raises `ValueError` for a
    trial whose network hasn't been measured.
    """
    others = [name for name in objectives if name != "val_top1"]
    found = values(record, others)
    if found is None:
        raise ValueError(f"Trial {record.number} must be measured before its first epoch.")
    return minimised(found, others)
