"""Writes the tables of recorded trainings and their data cards: `python -m
results.published.make_curves`.

The command adds the lines that `tests.benchmarks.record_curves` wrote (`--recordings`, by default
build/curves) to the tables that exist already, and writes `curves/NAME.npz` and `curves/NAME.md`.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from common.files import write_text_atomically
from results.analysis.curve_table import Recording, read_recording, read_table, write_table
from results.published.page_parts import paths_parser
from results.published.regret_figure import Line, draw

HERE = Path(__file__).resolve().parent
TABLES = HERE / "curves"
RECORDINGS = HERE.parents[1] / "build" / "curves"

LARGEST_BYTES = 2_000_000
"""A table must stay below this size, because it is part of every clone."""

FIDELITIES = (
    "full", "third", "ninth", "quarter_images", "half_size", "third_quarter_half",
    "ninth_quarter_half",
)  # fmt: skip
"""The recorder trains each configuration at these fidelities, with each of its seeds."""

CARD = """# Recorded trainings: `{name}`

{rows} configurations of the space `{name}`, each trained for {epochs} epochs and recorded after
every epoch: {trainings} trainings in all, {hours:.1f} hours of one core. The table is `{name}.npz`;
`python -m results.curves results/published/curves/{name}.npz` summarises it or writes it as CSV
(`results.curves` has it as pandas tables), `python -m search.simulate
results/published/curves/{name}.npz` searches it, and `results/analysis/curve_table.py` describes
its arrays. What its early epochs tell stands in [rungs.md](../rungs.md).

![Accuracy while training]({name}.svg)

| what | |
|---|---|
| network | {network}, {weights} |
| images | {images} |
| precision | {precision} |
| rows | {origins} |
| repeats | {repeated} rows with seeds 0, 1 and 2; the others with 0 |
| recorded | {command} |
| machine | {machine} |
| versions | {versions} |
| commit | {commits} |

## What varies

| parameter | range | counts |
|---|---|---|
{parameters}

Row 0 is the baseline. Of each two rows after it one is drawn as a search draws its first trials
(each keeps a share of the baseline's values, between none and three quarters), one uniformly over
the ranges; so the first n rows are a fair sample for any n. Which tenth is trained with three seeds
was drawn before anything was trained.

## What was trained

| fidelity | epochs | images | trainings | core-hours | best val top-1 |
|---|---|---|---|---|---|
{fidelities}

A shorter schedule anneals to its own end. `quarter` is a quarter of the training images of each
class, `half` half of the input's side; val images are the same {val_images:,} in each. From the
rungs at {rungs} epochs of each full training a branch goes on for {branches} epochs, in which the
learning rate falls in equal steps to 0.

## Quantities

`val_top1`, `val_loss`, `train_top1`, `train_eval_loss`: of the weights that a search evaluates, on
val and on a fixed clean sample of train as large; accuracies are fractions. With the prefix
`average_` they are those of an average of the weights with a time constant of one epoch that runs
beside the training, and with `raw_`, where the configuration averages weights itself, those of the
plain weights. `train_loss` is the mean loss of the epoch's steps, `lr` the last one's learning
rate. `wall_s` and `cpu_s` are an epoch's seconds, its evaluation included, as a search evaluates.

## What is missing

- {missing}
- Wall-clock times are those of a machine that did other work too; processor times are the ones to
  use.
- Accuracies on {val_images:,} val images have a standard error of {error:.1f} points at 50 %.
- No training was left out: of {diverged} the loss stopped being finite, and their curves end there.

Licence: Apache-2.0, as the project. The table holds no images.
"""

Training = dict[str, Any]


def card(name: str, recording: Recording) -> str:
    """Returns the text of the data card of the table `name`."""
    about, trainings = recording.headers[0], recording.trainings
    full = [training for training in trainings if training["fidelity"] == "full"]
    first = [training for training in full if training["seed"] == 0]
    repeated = Counter(training["row"] for training in full)
    baseline = about["baseline"]
    branches = {b["rung"]: b["epochs"] for training in full for b in training["cool_down"]}
    return CARD.format(
        name=name,
        rows=len(first),
        epochs=baseline["epochs"],
        trainings=len(trainings),
        hours=sum(t["total_cpu_s"] for t in trainings) / 3600,
        network=baseline["network"],
        weights="from scratch"
        if baseline["weights"] == "none"
        else f"weights {baseline['weights']}",
        images=_images(about),
        val_images=about["val_images"],
        precision=about["precision"],
        origins=", ".join(f"{n} {o}" for o, n in Counter(t["origin"] for t in first).items()),
        repeated=sum(count == 3 for count in repeated.values()),
        command=f"`{about['command']}`, in {len(recording.headers)} sessions",
        machine=_each(_machine(header) for header in recording.headers),
        versions=_each(
            ", ".join(f"{n} {v}" for n, v in sorted(header["versions"].items()))
            for header in recording.headers
        ),
        commits=_each(str(header["commit"])[:12] for header in recording.headers),
        parameters="\n".join(_parameters(recording)),
        fidelities="\n".join(_fidelities(trainings)),
        rungs=_words(branches),
        branches=_words(branches.values()),
        missing=_missing(trainings),
        error=100 * (0.25 / about["val_images"]) ** 0.5,
        diverged=sum(training["curves"]["train_loss"][-1] is None for training in trainings),
    )


def picture(name: str, recording: Recording) -> str:
    """Returns a figure of the accuracy on val over the epochs of full trainings, as SVG: of the
    best tenth in the end, the median, the worst tenth, and the baseline.
    """
    full = {
        training["row"]: training["curves"]["val_top1"]
        for training in recording.trainings
        if (training["fidelity"], training["seed"]) == ("full", 0)
    }
    length = max(map(len, full.values()))
    curves = {
        row: [100 * (value or 0.0) for value in [*curve, *[curve[-1]] * (length - len(curve))]]
        for row, curve in full.items()
    }
    ranked = sorted(curves.values(), key=lambda curve: -curve[-1])
    tenth = max(1, round(len(ranked) / 10))
    middle = (len(ranked) - tenth) // 2
    groups = {
        f"best {tenth} of {len(ranked)}": ranked[:tenth],
        f"middle {tenth}": ranked[middle : middle + tenth],
        f"worst {tenth}": ranked[-tenth:],
        "baseline": [curves[0]] if 0 in curves else [],
    }
    lines = [_band(name, group) for name, group in groups.items() if group]
    return draw(lines, f"{name}: val top-1 in %, over {length} epochs (mean, lowest, highest)")


def _band(name: str, curves: Sequence[Sequence[float]]) -> Line:
    """Returns the mean of several curves with the lowest and highest values as its band."""
    epochs = list(zip(*curves, strict=True))
    middle = [sum(values) / len(values) for values in epochs]
    return Line(name=name, middle=middle, low=[*map(min, epochs)], high=[*map(max, epochs)])


def _images(about: dict[str, Any]) -> str:
    return (
        f"`{about['dataset']}`: {about['train_images']:,} training images, "
        f"{about['val_images']:,} val images, {about['num_classes']} classes, "
        f"fingerprint `{about['fingerprint'][:16]}`"
    )


def _each(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _words(numbers: Iterable[int]) -> str:
    *most, last = [str(number) for number in numbers] or ["no"]
    return f"{', '.join(most)} and {last}" if most else last


def _machine(header: dict[str, Any]) -> str:
    made = header["machine"]
    return (
        f"{made['cpu']}, {made['cpus']} cores, {made['memory_gib']} GiB, no GPU; "
        f"{header['processes']} trainings at once, one thread each"
    )


def _parameters(recording: Recording) -> list[str]:
    conditions = recording.headers[0]["conditions"]
    lines = []
    for name, distribution in recording.ranges().items():
        owner, value = conditions.get(name, (None, None))
        counts = "always" if owner is None else f"with {owner}={value}"
        text = str(distribution).replace("Distribution", "")
        lines.append(f"| `{name}` | {text} | {counts} |")
    return lines


def _fidelities(trainings: Sequence[Training]) -> list[str]:
    lines = []
    for fidelity in dict.fromkeys(training["fidelity"] for training in trainings):
        found = [training for training in trainings if training["fidelity"] == fidelity]
        epochs = max(len(training["curves"]["val_top1"]) for training in found)
        hours = sum(training["total_cpu_s"] for training in found) / 3600
        best = max(training["curves"]["val_top1"][-1] for training in found)
        lines.append(
            f"| `{fidelity}` | {epochs} | {found[0]['images']:,} | {len(found)} | {hours:.2f} "
            f"| {100 * best:.1f} |"
        )
    return lines


def _missing(trainings: Sequence[Training]) -> str:
    """Returns a sentence with the fidelities that each (row, seed) still lacks."""
    every = set(FIDELITIES)
    had: dict[tuple[int, int], set[str]] = {}
    for training in trainings:
        had.setdefault((training["row"], training["seed"]), set()).add(training["fidelity"])
    short = [
        f"row {row}, seed {seed}: {', '.join(sorted(every - found))}"
        for (row, seed), found in sorted(had.items())
        if found != every
    ]
    if not short:
        return "Every row and seed that was begun has all of its trainings."
    return f"Not trained yet, where the recording stands: {'; '.join(short)}."


def main(arguments: list[str] | None = None) -> int:
    """Writes every table and card; returns the exit code, 1 where a table is too large."""
    parser = paths_parser("make_curves", __doc__, recordings=RECORDINGS, out=TABLES)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    names = {path.stem for path in options.recordings.glob("*.jsonl")}
    code = 0
    for name in sorted(names | {path.stem for path in options.out.glob("*.npz")}):
        table = options.out / f"{name}.npz"
        recording = read_recording(options.recordings / f"{name}.jsonl")
        if table.exists():
            recording = read_table(table).merged(recording)
        if not recording.trainings:
            continue
        write_table(table, recording)
        write_text_atomically(options.out / f"{name}.md", card(name, recording))
        write_text_atomically(options.out / f"{name}.svg", picture(name, recording))
        size = table.stat().st_size
        print(f"{table}: {len(recording.trainings)} trainings, {size / 1e6:.2f} MB")
        if size > LARGEST_BYTES:
            limit = f"{LARGEST_BYTES / 1e6:g} MB"
            print(f"error: {table} must stay below {limit}; record fewer rows.", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
