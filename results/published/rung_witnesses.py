"""Gathers early results of recorded trainings, and what they cost, beside their ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.array_files import read_arrays
from results.analysis.curve_table import Recording, Training

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Witness:
    """Holds an early result of each configuration with each seed, NaN where there is none: `values`
    of shape (n, seeds). `cost` is a share of a full training; witnesses of one `kind` differ in
    `when` they are known.
    """

    kind: str
    when: str
    cost: float
    values: Values


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Holds the accuracies at the end, of shape (n, seeds), and the witnesses of one table."""

    name: str
    ends: Values
    witnesses: Sequence[Witness]


def own_table(name: str, recording: Recording) -> Table:
    """Returns the witnesses in a table of the project's recorder."""
    full = by_run(recording, "full")
    rows = sorted({row for row, _ in full})
    seeds = sorted({seed for _, seed in full})
    shape, at = (len(rows), len(seeds)), {row: i for i, row in enumerate(rows)}
    whole = float(np.mean([_seconds(training) for training in full.values()]))

    def gather(found: Found, kind: str, when: str) -> Witness:
        values = np.full(shape, np.nan)
        for (row, seed), (value, _) in found.items():
            values[at[row], seeds.index(seed)] = value
        cost = float(np.mean([seconds for _, seconds in found.values()])) / whole
        return Witness(kind=kind, when=when, cost=cost, values=values)

    epochs = max(len(training["curves"]["val_top1"]) for training in full.values())
    witnesses = []
    for rung in (3, 9, epochs):
        for quantity, words in (("val_top1", "accuracy"), ("average_val_top1", "average")):
            if rung < epochs or quantity != "val_top1":
                found = _at_epoch(full, quantity, rung)
                witnesses.append(gather(found, words, f"at epoch {rung}"))
    for rung in (3, 9):
        branches = {
            run: (branch["val_top1"], _seconds(training, rung) + branch["cpu_s"])
            for run, training in full.items()
            for branch in training["cool_down"]
            if branch["rung"] == rung and branch["val_top1"] is not None
        }
        if branches:
            witnesses.append(gather(branches, "cool-down", f"after epoch {rung}"))
    for fidelity, words in FIDELITIES.items():
        trained = {run: t for run, t in by_run(recording, fidelity).items() if run in full}
        if trained:
            last = max(len(training["curves"]["val_top1"]) for training in trained.values())
            for rung in sorted({3, 9, last} if last == epochs else {last}):
                found = _at_epoch(trained, "val_top1", rung)
                witnesses.append(gather(found, words, f"for {rung} epochs"))
    ends = gather(_at_epoch(full, "val_top1", epochs), "accuracy", "at the end").values
    return Table(name=name, ends=ends, witnesses=sorted(witnesses, key=lambda each: each.cost))


FIDELITIES = {
    "third": "annealed",
    "ninth": "annealed",
    "quarter_images": "quarter of the images",
    "half_size": "half the size",
    "third_quarter_half": "annealed, quarter, half",
    "ninth_quarter_half": "annealed, quarter, half",
}
"""The recorder's cheaper trainings, in words."""


Found = dict[tuple[int, int], tuple[float, float]]
"""Holds (value, seconds until then) by (row, seed)."""


def by_run(recording: Recording, fidelity: str) -> dict[tuple[int, int], Training]:
    """Returns the trainings of one fidelity by (row, seed)."""
    return {
        (training["row"], training["seed"]): training
        for training in recording.trainings
        if training["fidelity"] == fidelity
    }


def _at_epoch(trained: dict[tuple[int, int], Training], quantity: str, epoch: int) -> Found:
    """Returns what was known after an epoch. A training that diverged keeps its last value."""
    found = {}
    for run, training in trained.items():
        curve = [value for value in training["curves"][quantity][:epoch] if value is not None]
        if curve:
            found[run] = curve[-1], _seconds(training, epoch)
    return found


def _seconds(training: Training, epochs: int | None = None) -> float:
    return float(sum(training["curves"]["cpu_s"][:epochs]))


def curves_table(path: Path) -> Table:
    """Returns the witnesses in a table of real ImageNet trainings, whose runs have `submission`,
    `trial` and, as seed, `study`. Those that failed within 20,000 steps don't count.
    """
    arrays = read_arrays(path)
    ran = arrays["last_step"] > 20_000
    names = [f"{s}/{t}" for s, t in zip(arrays["submission"], arrays["trial"], strict=True)]
    rows = sorted({name for name, fine in zip(names, ran, strict=True) if fine})
    seeds = sorted(set(arrays["study"].tolist()))
    curves = np.full((len(rows), len(seeds), arrays["val_accuracy"].shape[1]), np.nan)
    for run in np.flatnonzero(ran):
        place = rows.index(names[run]), seeds.index(int(arrays["study"][run]))
        curves[place] = arrays["val_accuracy"][run] / 100
    length = curves.shape[2]
    witnesses = [
        Witness(
            kind="accuracy",
            when=f"at point {at} of {length}",
            cost=at / length,
            values=curves[:, :, at - 1],
        )
        for at in (3, 9, 27)
    ]
    return Table(name=path.stem, ends=curves[:, :, -1], witnesses=witnesses)
