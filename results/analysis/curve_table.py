"""Tables of recorded trainings: learning curves of many configurations of one space, in one file.

A recording is a list of headers, one a session of the recorder, and a list of trainings, each a
dict: `row` (the configuration's number; 0 is the baseline), `seed`, `fidelity`, `origin`, `params`,
`images` (trained an epoch), `total_cpu_s` (branches and extra evaluations included), `curves` (by
quantity, a value an epoch; `None` where it wasn't finite) and `cool_down` (a dict a branch). The
first header says what the table is of: its ranges, baseline, conditional parameters, dataset.

On disk that is a compressed `.npz` file without pickles, whose arrays anybody can read:

    about                   JSON: {"headers": […]}
    names, configs          the parameters (d,), and each row's values (n, d) as Optuna represents
                            them inside: a choice is its index; NaN where a parameter doesn't count
    rows, origins           (n,): the rows' numbers, and how each was drawn
    FIDELITY/row, /seed, /images, /total_cpu_s, /epochs
                            (m,): a training each; epochs that it has (fewer where it diverged)
    FIDELITY/QUANTITY       (m, longest): NaN after a training's end and where not finite
    cool_down/NAME          (b,): row, seed, rung, epochs, cpu_s and the quantities of a branch
"""

import io
import json
import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, json_to_distribution

from common.array_files import read_arrays
from common.files import open_atomically
from results.jsonl import read_lines

Training = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """Holds what was recorded of one space: the recorder's headers, and the trainings."""

    headers: list[dict[str, Any]]
    trainings: list[Training]

    def keys(self) -> set[tuple[int, int, str]]:
        """Returns (row, seed, fidelity) of each training."""
        return {(t["row"], t["seed"], t["fidelity"]) for t in self.trainings}

    def ranges(self) -> dict[str, BaseDistribution]:
        """Returns each parameter's distribution, conditional ones included."""
        written = self.headers[0]["ranges"]
        return {name: json_to_distribution(text) for name, text in written.items()}

    def merged(self, other: "Recording") -> "Recording":
        """Returns the headers and trainings of both recordings; of a training that both have, that
        of `self` is taken.
        """
        known = self.keys()
        new = [t for t in other.trainings if (t["row"], t["seed"], t["fidelity"]) not in known]
        headers = [header for header in other.headers if header not in self.headers]
        return Recording(headers=self.headers + headers, trainings=self.trainings + new)


def read_recording(path: Path) -> Recording:
    """Reads the lines of a recorder; a missing file has none. Raises `RecordError`."""
    lines = list(read_lines(path))
    return Recording(
        headers=[line for line in lines if "recording" in line],
        trainings=[line for line in lines if "row" in line],
    )


def write_table(path: Path, recording: Recording) -> None:
    """Writes the table atomically; equal recordings give equal bytes."""
    ordered = sorted(recording.trainings, key=lambda t: (t["row"], t["seed"], t["fidelity"]))
    arrays = _configurations(recording, ordered) | _branches(ordered)
    for fidelity in dict.fromkeys(t["fidelity"] for t in ordered):
        found = [training for training in ordered if training["fidelity"] == fidelity]
        arrays |= {f"{fidelity}/{name}": values for name, values in _fidelity(found).items()}
    arrays["about"] = np.array(json.dumps({"headers": recording.headers}, sort_keys=True))
    with (
        open_atomically(path) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
    ):
        for name, values in sorted(arrays.items()):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, values, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(),
                             compress_type=zipfile.ZIP_DEFLATED)  # fmt: skip


def _configurations(recording: Recording, ordered: list[Training]) -> Arrays:
    ranges = recording.ranges()
    rows = {training["row"]: training for training in ordered}
    configs = np.full((len(rows), len(ranges)), math.nan)
    for at, training in enumerate(rows.values()):
        for column, (name, distribution) in enumerate(ranges.items()):
            if name in training["params"]:
                value = training["params"][name]
                configs[at, column] = distribution.to_internal_repr(value)
    return {
        "names": np.array(list(ranges)),
        "configs": configs,
        "rows": np.array(list(rows), dtype=np.int64),
        "origins": np.array([training["origin"] for training in rows.values()]),
    }


def _fidelity(found: list[Training]) -> Arrays:
    arrays: Arrays = {
        name: np.array([training[name] for training in found], dtype=np.int64)
        for name in ("row", "seed", "images")
    }
    arrays["total_cpu_s"] = _floats(training["total_cpu_s"] for training in found)
    lengths = [max(map(len, training["curves"].values())) for training in found]
    arrays["epochs"] = np.array(lengths, dtype=np.int64)
    for name in sorted({name for training in found for name in training["curves"]}):
        values = np.full((len(found), max(lengths)), math.nan, dtype=np.float32)
        for at, training in enumerate(found):
            curve = training["curves"].get(name, [])
            values[at, : len(curve)] = _floats(curve)
        arrays[name] = values
    return arrays


def _branches(ordered: list[Training]) -> Arrays:
    branches = [
        {"row": training["row"], "seed": training["seed"], **branch}
        for training in ordered
        for branch in training["cool_down"]
    ]
    whole = ("row", "seed", "rung", "epochs")
    return {
        f"cool_down/{name}": np.array([branch[name] for branch in branches], dtype=np.int64)
        if name in whole
        else _floats(branch[name] for branch in branches)
        for name in (branches[0] if branches else ())
    }


def _floats(values: Iterable[float | None]) -> NDArray[np.float32]:
    return np.array([math.nan if v is None else v for v in values], dtype=np.float32)


def read_table(path: Path) -> Recording:
    """Reads a table. Raises `OSError`, and `ValueError` for a file that isn't one."""
    try:
        return of_arrays(read_arrays(path))
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error


def of_arrays(arrays: Mapping[str, NDArray[Any]]) -> Recording:
    """Builds a recording from the arrays of a table. Raises `KeyError` and `ValueError`."""
    headers = json.loads(str(arrays["about"]))["headers"]
    empty = Recording(headers=headers, trainings=[])
    params = _params(arrays, empty.ranges())
    origins = dict(zip(arrays["rows"].tolist(), arrays["origins"].tolist(), strict=True))
    branches = _branches_of(arrays)
    fidelities = [name.removesuffix("/images") for name in arrays if name.endswith("/images")]
    for fidelity in fidelities:
        own = {
            name.partition("/")[2]: values
            for name, values in arrays.items()
            if name.startswith(f"{fidelity}/")
        }
        for at in range(len(own["row"])):
            row, seed = int(own["row"][at]), int(own["seed"][at])
            training: Training = {
                "row": row,
                "seed": seed,
                "fidelity": fidelity,
                "origin": origins[row],
                "params": params[row],
                "images": int(own["images"][at]),
                "total_cpu_s": float(own["total_cpu_s"][at]),
                "curves": _curves(own, at),
                "cool_down": branches.get((row, seed), []) if fidelity == "full" else [],
            }
            empty.trainings.append(training)
    return empty


def _curves(own: Mapping[str, NDArray[Any]], at: int) -> dict[str, list[float | None]]:
    length = int(own["epochs"][at])
    found = {}
    for name, values in own.items():
        if values.ndim == 2:
            curve = [v if math.isfinite(v) else None for v in values[at, :length].tolist()]
            if any(value is not None for value in curve):
                found[name] = curve
    return found


def _params(
    arrays: Mapping[str, NDArray[Any]], ranges: Mapping[str, BaseDistribution]
) -> dict[int, dict[str, Any]]:
    names = arrays["names"].tolist()
    return {
        int(row): {
            name: ranges[name].to_external_repr(value)
            for name, value in zip(names, values, strict=True)
            if not math.isnan(value)
        }
        for row, values in zip(arrays["rows"].tolist(), arrays["configs"].tolist(), strict=True)
    }


def _branches_of(arrays: Mapping[str, NDArray[Any]]) -> dict[tuple[int, int], list[Any]]:
    own = {
        name.partition("/")[2]: values.tolist()
        for name, values in arrays.items()
        if name.startswith("cool_down/")
    }
    found: dict[tuple[int, int], list[Any]] = {}
    for values in zip(*own.values(), strict=True):
        branch = {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in zip(own, values, strict=True)
        }
        key = int(branch.pop("row") or 0), int(branch.pop("seed") or 0)
        found.setdefault(key, []).append(branch)
    return found
