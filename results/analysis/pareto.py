"""Several objectives at once: which trials no other one matches in all and beats in one.

A point holds a trial's objectives, all of them to be minimised: `minimised` turns val_top1 round.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from results.records import TrialRecord

OBJECTIVES: dict[str, Literal["maximize", "minimize"]] = {
    "val_top1": "maximize",
    "latency_ms": "minimize",
    "parameters_m": "minimize",
}
"""By name, in the order in which they are told: which way is better."""

Point = tuple[float, ...]


def parse_objectives(text: str) -> tuple[str, ...]:
    """The objectives that a search was asked for, in the order of `OBJECTIVES`."""
    named = [name.strip() for name in text.split(",")]
    return tuple(name for name in OBJECTIVES if name in named)


def sound_objectives(text: str) -> bool:
    """Whether `text` names objectives, each once, val_top1 among them."""
    found = parse_objectives(text)
    return "val_top1" in found and len(found) == len(text.split(","))


def values(record: TrialRecord, objectives: Sequence[str]) -> Point | None:
    """A trial's objectives as they stand; `None` where it lacks one of them."""
    fields = ["best_val_top1" if name == "val_top1" else name for name in objectives]
    found = [getattr(record, field) for field in fields]
    return None if any(value is None for value in found) else tuple(found)


def minimised(values: Iterable[float], objectives: Sequence[str]) -> Point:
    """`values` of `objectives` as a point."""
    signs = [-1.0 if OBJECTIVES[name] == "maximize" else 1.0 for name in objectives]
    return tuple(sign * value for sign, value in zip(signs, values, strict=True))


def dominates(one: Point, other: Point) -> bool:
    """Whether `one` is nowhere worse than `other`, and somewhere better."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def fronts(points: Iterable[Point]) -> list[list[Point]]:
    """The different points by non-dominated rank, from 0 up (Deb et al. 2002, section III-A).

    Each front holds what only points of the fronts before it dominate.
    """
    # Sorted, a point can be dominated only by those before it.
    left, found = sorted(set(points)), []
    while left:
        front: list[Point] = []
        for point in left:
            if not any(dominates(other, point) for other in front):
                front.append(point)
        found.append(front)
        taken = set(front)
        left = [point for point in left if point not in taken]
    return found


def crowding(front: Sequence[Point]) -> dict[Point, float]:
    """How far each point of a front lies from its neighbours there (Deb et al. 2002, III-B).

    The sum over the objectives of the distance between the two neighbours, as a share of the
    front's extent; infinite for the ends.
    """
    distances = dict.fromkeys(front, 0.0)
    for axis in range(len(front[0])):
        ordered = sorted(front, key=lambda point: point[axis])
        extent = ordered[-1][axis] - ordered[0][axis]
        for end in (ordered[0], ordered[-1]):
            distances[end] = math.inf
        for before, point, after in zip(ordered, ordered[1:], ordered[2:], strict=False):
            if extent:
                distances[point] += (after[axis] - before[axis]) / extent
    return distances


def objectives_of(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """The objectives of a run; older runs don't say, and had val_top1 alone."""
    return parse_objectives(manifest.get("options", {}).get("objectives", "val_top1"))


def pareto_front(trials: Mapping[int, TrialRecord], objectives: Sequence[str]) -> list[TrialRecord]:
    """The trials that no other dominates, by val_top1, best first, ties to the earlier.

    Each with its highest val_top1 of any epoch, also where it was stopped early; failed and
    diverged ones are left out.
    """
    points = {}
    for number, record in trials.items():
        found = values(record, objectives) if record.trusted else None
        if found is not None:
            points[number] = minimised(found, objectives)
    best = set(fronts(points.values())[0]) if points else set()
    chosen = [trials[number] for number, point in points.items() if point in best]
    return sorted(chosen, key=lambda record: (-(record.best_val_top1 or 0), record.number))


ALONE = ("val_top1",)
"""The objectives where no others are asked for."""
