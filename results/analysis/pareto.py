"""Compares trials by several objectives at once: the Pareto front contains the trials that no other
trial dominates.

A point holds a trial's objectives, all of which are to be minimised; `minimised` reverses the sign
of val_top1.
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
"""A search can maximise val_top1 and minimise latency_ms and parameters_m. Pages and plans show the
objectives in this order.
"""

Point = tuple[float, ...]
"""A point holds the objectives of one trial, all to be minimised."""


def parse_objectives(text: str) -> tuple[str, ...]:
    """Returns the objectives named in `text` (separated by commas), in the order of `OBJECTIVES`;
    unknown names are ignored.
    """
    named = [name.strip() for name in text.split(",")]
    return tuple(name for name in OBJECTIVES if name in named)


def sound_objectives(text: str) -> bool:
    """Returns whether `text` names only known objectives, each of them once, and val_top1 among
    them.
    """
    found = parse_objectives(text)
    return "val_top1" in found and len(found) == len(text.split(","))


def values(record: TrialRecord, objectives: Sequence[str]) -> Point | None:
    """Returns a trial's objectives in their own units and signs, or `None` where the trial lacks
    one of them.
    """
    fields = ["last_val_top1" if name == "val_top1" else name for name in objectives]
    found = [getattr(record, field) for field in fields]
    return None if any(value is None for value in found) else tuple(found)


def minimised(values: Iterable[float], objectives: Sequence[str]) -> Point:
    """Returns the values of `objectives` as a point, with the sign of maximised objectives
    reversed.
    """
    signs = [-1.0 if OBJECTIVES[name] == "maximize" else 1.0 for name in objectives]
    return tuple(sign * value for sign, value in zip(signs, values, strict=True))


def dominates(one: Point, other: Point) -> bool:
    """Returns whether `one` is at least as good as `other` in every objective and better in at
    least one.
    """
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def fronts(points: Iterable[Point]) -> list[list[Point]]:
    """Returns the distinct points by non-dominated rank, from rank 0 up (Deb et al. 2002, section
    III-A).

    Each front holds the points that are dominated only by points of the fronts before it.
    """
    # In sorted order, a point can be dominated only by points before it.
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
    """Returns how far each point of a front lies from its neighbours in the front (Deb et al. 2002,
    section III-B).

    The crowding distance is the sum, over the objectives, of the distance between the two
    neighbours as a share of the front's extent. It is infinite for the ends of the front.
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
    """Returns the objectives of a run. Manifests of older versions don't record them, because
    val_top1 was the only one.
    """
    return parse_objectives(manifest.get("options", {}).get("objectives", "val_top1"))


def pareto_front(trials: Mapping[int, TrialRecord], objectives: Sequence[str]) -> list[TrialRecord]:
    """Returns the trials that no other trial dominates, by descending val_top1; of equal ones the
    earlier comes first.

    Each trial counts with its val_top1 after its latest epoch, also when it was stopped early.
    Failed and diverged trials are left out.
    """
    points = {}
    for number, record in trials.items():
        found = values(record, objectives) if record.trusted else None
        if found is not None:
            points[number] = minimised(found, objectives)
    best = set(fronts(points.values())[0]) if points else set()
    chosen = [trials[number] for number, point in points.items() if point in best]
    return sorted(chosen, key=lambda record: (-(record.last_val_top1 or 0), record.number))


ALONE = ("val_top1",)
"""By default a search has val_top1 as its only objective."""
