"""What few val images cost a search: the same searches, shown exact curves as few images show them.

A table's accuracies p are taken for exact. A search of it sees them as n val images would show
them: with the binomial variance p (1 − p) / n, half of it common to all epochs of a configuration,
because they are measured on the same images, and half in each epoch anew. What it hands over is
judged by the exact accuracies: regret (see `search.simulation.simulator.RegretScale`), the points
that the best configuration has more, and the luck, by which the value that decided lies above the
exact one of that epoch.

Each search's line is on disk as soon as it is done, and a benchmark that was interrupted goes on.
Without curves of real trainings (`--curves`) made-up ones are drawn, whose figures are void.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from results.analysis.rung_values import quiet_optuna
from results.jsonl import read_lines
from results.published.regret_statistics import describe_mean
from search.config.options import SearchOptions
from search.hardware.machine import detect_machine
from search.samplers.encoding import Matrix
from search.session.provenance import provenance
from search.simulation.policies import POLICIES
from search.simulation.recorded_curves import Curves, read_curves
from search.simulation.simulator import (
    Event,
    RegretScale,
    latest_value,
    make_simulated_rules,
    simulate,
)
from tests.benchmarks import measure
from tests.benchmarks.drawn import add_curves, parse_curves

IMAGES = (30, 100, 300, 1_000, 3_000, None)
"""Numbers of val images; `None` shows the exact curves."""

BUDGET, WORKERS, FIRST_SEED = 50, 8, 980
"""Each search trains for `BUDGET` full trainings with `WORKERS` workers."""

NAMES = ("ours", "random + ASHA")


def shown(curves: Curves, images: int | None, seed: int) -> Curves:
    """The curves as so many val images show them."""
    if images is None:
        return curves
    rng, exact = np.random.default_rng([images, seed]), np.clip(curves.val, 0.0, 1.0)
    same, anew = rng.normal(size=(len(exact), 1)), rng.normal(size=exact.shape)
    deviation = np.sqrt(exact * (1.0 - exact) / images)
    seen = np.clip(exact + deviation * (same + anew) / np.sqrt(2.0), 0.0, 1.0)
    return replace(curves, val=np.round(seen * images) / images)


def search(curves: Curves, images: int | None, name: str, seed: int) -> dict[str, Any]:
    """One search, and what it hands over after a quarter, half and all of its budget."""
    seen, scale = shown(curves, images, seed), RegretScale.of(curves)
    chosen = handed_over(seen, name, seed, BUDGET, WORKERS)
    return {
        "task": curves.name,
        "images": images,
        "policy": name,
        "seed": seed,
        "regret": [round(scale.regret(event.row), 5) for event in chosen],
        "points": [round(100 * float(scale.best - scale.final[e.row]), 3) for e in chosen],
        "luck": [round(100 * float(e.val - curves.val[e.row, e.epoch - 1]), 3) for e in chosen],
    }


def handed_over(curves: Curves, name: str, seed: int, trainings: int, workers: int) -> list[Event]:
    """What a search by a named policy hands over after a quarter, half and all of its budget, which
    is so many full trainings.
    """
    budget = trainings * curves.epochs
    with quiet_optuna():
        policy = POLICIES[name](curves, make_simulated_rules(SearchOptions(), curves), seed)
        trace = simulate(policy, curves, workers=workers, epochs=budget)
    return [latest_value(trace.events[: round(budget * share)]) for share in (0.25, 0.5, 1.0)]


def describe(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A row for each number of images: means at the end of the budget with 95 % intervals, seeds
    drawn anew within each task.
    """
    yield "| val images | policy | searches | regret × 100 | points below the best | luck |"
    yield "|---|---|---|---|---|---|"
    for images, name in product(IMAGES, NAMES):
        own = [each for each in lines if (each["images"], each["policy"]) == (images, name)]
        if own:
            found = [_ends(own, figure) for figure in ("regret", "points", "luck")]
            cells = [describe_mean(each, ".1f") for each in found]
            row = [f"{images:,}" if images else "exact", name, str(found[0].size), *cells]
            yield f"| {' | '.join(row)} |"


def _ends(lines: Sequence[dict[str, Any]], figure: str) -> Matrix:
    """A figure at the end, of shape (tasks, seeds), for the seeds that all tasks have; points as
    fractions.
    """
    unit = 1.0 if figure == "regret" else 0.01
    found = {(each["task"], each["seed"]): unit * each[figure][-1] for each in lines}
    tasks = sorted({task for task, _ in found})
    seeds = sorted({seed for _, seed in found if all((task, seed) in found for task in tasks)})
    return np.array([[found[task, seed] for seed in seeds] for task in tasks])


def benchmark(arguments: list[str] | None = None) -> None:
    """Makes every search that the file lacks, `--rounds` seeds of each, and prints the table."""
    parser = measure.parser("val_images", __doc__, images=False)
    add_curves(parser)
    options = parse_curves(parser, arguments)
    out = options.out.with_suffix(".jsonl")
    out.parent.mkdir(parents=True, exist_ok=True)
    if not out.exists():
        about = provenance(detect_machine(), measure.command("val_images"))
        out.write_text(json.dumps({"about": about}) + "\n", encoding="utf-8")
    lines = [each for each in read_lines(out) if "about" not in each]
    done = {(e["task"], e["images"], e["policy"], e["seed"]) for e in lines}
    tables = [read_curves(path) for path in options.curves]
    seeds = range(FIRST_SEED, FIRST_SEED + options.rounds)
    with out.open("a", encoding="utf-8") as file:
        for seed, curves, images, name in product(seeds, tables, IMAGES, NAMES):
            if (curves.name, images, name, seed) not in done:
                lines.append(search(curves, images, name, seed))
                print(json.dumps(lines[-1]), file=file, flush=True)
    print("\n".join(describe(lines)))


if __name__ == "__main__":
    benchmark(sys.argv[1:])
