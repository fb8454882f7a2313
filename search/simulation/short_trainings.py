"""Finds the short trainings in a table of recorded trainings (`results.analysis.curve_table`)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from results.analysis.curve_table import Recording
from search.early_stopping.asha import default_grace
from search.samplers.encoding import Vector

FIDELITIES = ("third_quarter_half", "ninth_quarter_half")
"""Tables know trainings on a quarter of the images at half their size by these names."""

RowCurves = dict[int, dict[str, list[float | None]]]


@dataclass(frozen=True, kw_only=True)
class ShortTrainings:
    """Holds a short training of each configuration, for `epochs` epochs on a share `images` of the
    images at a share `size` of their size: its last val_top1 and its seconds, both of shape (n,).
    `val_images` is the number of images that accuracies come from.
    """

    epochs: int
    images: float
    size: float
    val: Vector
    seconds: Vector
    val_images: int


def find_short_trainings(
    recording: Recording, rows: Sequence[int], epochs: int
) -> ShortTrainings | None:
    """Returns the recorded short trainings of these rows whose length is nearest to that of a
    search with full trainings of `epochs` epochs, or `None` where a row lacks them.
    """
    found = [
        _short_trainings([trained[row] for row in rows], recording.headers[0]["val_images"])
        for fidelity in FIDELITIES
        if (trained := curves_at(recording, fidelity)).keys() >= set(rows)
    ]
    wanted = default_grace(epochs)
    return min(found, key=lambda each: abs(each.epochs - wanted), default=None)


def _short_trainings(
    curves: Sequence[dict[str, list[float | None]]], val_images: int
) -> ShortTrainings:
    return ShortTrainings(
        epochs=max(len(curve["val_top1"]) for curve in curves),
        images=1 / 4,
        size=1 / 2,
        val=np.array([curve["val_top1"][-1] or 0.0 for curve in curves]),
        seconds=np.array([sum(each or 0.0 for each in curve["cpu_s"]) for curve in curves]),
        val_images=val_images,
    )


def curves_at(recording: Recording, fidelity: str) -> RowCurves:
    """Returns the curves with the first seed at a fidelity, by row, in the order of the rows."""
    found = {
        t["row"]: t["curves"]
        for t in recording.trainings
        if (t["seed"], t["fidelity"]) == (0, fidelity)
    }
    return dict(sorted(found.items()))
