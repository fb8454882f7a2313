"""What the overfitting rule saves and what it loses, on recorded curves.

Every rule of `overfitting_rules` meets every recorded curve (`--curves`, see
search/simulation/recorded_curves.py for the format; the rule needs training curves). Then whole
searches are simulated with the rule and without, trials of finished searches are looked at again
(`--runs`), and made-up curves that rise under noise tell how often a rule stops what it shouldn't.
What was measured is on disk at once, and a benchmark that was interrupted goes on with what is
missing. The page is made by `python -m results.published.make_overfitting`.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from common.files import write_text_atomically
from results.analysis.rung_values import quiet_optuna
from results.jsonl import read_lines
from results.records import EpochMetrics
from results.store import read_epochs, read_manifest
from search.config.options import SearchOptions
from search.early_stopping.decision import Rules
from search.hardware.machine import detect_machine
from search.samplers.random_sampler import make_random_sampler
from search.session.provenance import provenance
from search.simulation.points import Point
from search.simulation.policies import POLICIES, study_of
from search.simulation.recorded_curves import Curves, read_curves
from search.simulation.simulator import highest_value, make_simulated_rules, simulate
from search.study.study import Study
from tests.benchmarks import measure
from tests.benchmarks.drawn import add_curves, parse_curves
from tests.benchmarks.measure import CORES
from tests.benchmarks.overfitting_figures import SUBSETS, TRIALS, at_best, figures, stop, stops
from tests.benchmarks.overfitting_rules import RULES, default

PARTS = {"all": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}
"""The rows of a table, and its halves: what is chosen on one can be confirmed on the other."""

BUDGET, WORKERS = 60, 8
SEARCHES = ("random", "random + ASHA", "ours")
IMAGES = (10_000, 2_500, 1_000)
BESIDE = ("last gap 0.2, 3", "in a row 0.05, 5", "ours 0.05, 3", "ours 0.05, 8")
"""The noise of so many validation images, and rules under it."""

SHARES = (0.25, 0.5, 1.0)
"""Of the budget, at which a simulated search is judged."""


def table(path: Path) -> list[dict[str, Any]]:
    """A line for each rule and half of one table, and one for stopping at the best epochs."""
    curves = read_curves(path)
    ends = stops(curves, RULES) | {"at the best epoch": at_best(curves)}
    return [
        {"rule": name, "task": curves.name, "part": part,
         **figures(_part(curves, rows), stopped[rows])}
        for (name, stopped), (part, rows) in product(ends.items(), PARTS.items())
    ]  # fmt: skip


def _part(curves: Curves, rows: slice) -> Curves:
    """Some rows of a table."""
    train = None if curves.train is None else curves.train[rows]
    loss = None if curves.train_loss is None else curves.train_loss[rows]
    return replace(curves, points=curves.points[rows], val=curves.val[rows], train=train,
                   train_loss=loss, epoch_s=curves.epoch_s[rows])  # fmt: skip


def random_study(curves: Curves, rules: Rules, seed: int) -> Study[Point]:
    """Random configurations, ended by all the rules."""

    return study_of(curves, rules, seed, make_random_sampler)


def search(path: Path, policy: str, seed: int, budget: int) -> dict[str, Any]:
    """One simulated search with the rule and one without: regret, and the best value seen."""
    curves = read_curves(path)
    line: dict[str, Any] = {"policy": policy, "task": curves.name, "seed": seed}
    for name, max_gap in (("with", SearchOptions().max_gap), ("without", 0.0)):
        rules = replace(make_simulated_rules(SearchOptions(), curves), max_gap=max_gap)
        if policy == "random":
            rules = replace(rules, grace=curves.epochs)
        make = POLICIES["ours"] if policy == "ours" else random_study
        with quiet_optuna():
            epochs = budget * curves.epochs
            trace = simulate(make(curves, rules, seed), curves, workers=WORKERS, epochs=epochs)
        at = [round(epochs * share) for share in SHARES]
        line[name] = {
            "regret": [round(regret, 5) for regret in trace.regrets(at, highest_value)],
            "best": round(max(event.val for event in trace.events), 6),
            "trials": len({event.trial for event in trace.events}),
        }
    return line


def again(directory: Path) -> list[dict[str, Any]]:
    """A finished search's trials, looked at again; the baseline is exempt from the rule."""
    seen: dict[int, list[EpochMetrics]] = {}
    for number, metrics in read_epochs(directory):
        seen.setdefault(number, []).append(metrics)
    trials = [epochs for number, epochs in seen.items() if number > 0]
    lines = []
    for name in (default(), "last gap 0.2, 3", "patience 5"):
        ends = [stop(epochs, RULES[name]) for epochs in trials]
        lost = [
            1 - _best(epochs[:end]) / _best(epochs)
            for epochs, end in zip(trials, ends, strict=True)
        ]
        lines.append({
            "run": read_manifest(directory)["name"], "rule": name, "trials": len(trials),
            "epochs": sum(map(len, trials)), "trained": sum(ends),
            "stopped": sum(end < len(each) for each, end in zip(trials, ends, strict=True)),
            "lost_worst": round(max(lost, default=0.0), 6),
        })  # fmt: skip
    return lines


def _best(epochs: Sequence[EpochMetrics]) -> float:
    return max(e.val_top1 or 0.0 for e in epochs) or 1.0


def noise(curves: int) -> Iterator[dict[str, Any]]:
    """Curves that rise by 0.3 points an epoch to the end, wide gap, as noisy as so many images."""
    for images, name in product(IMAGES, dict.fromkeys((*BESIDE, default()))):
        rng, stopped = random.Random(0), 0
        for _ in range(curves):
            vals = [rng.gauss(0.4 + 0.003 * e, 0.5 / images**0.5) for e in range(30)]
            stopped += stop([_epoch(e, val) for e, val in enumerate(vals, 1)], RULES[name]) < 30
        yield {"images": images, "rule": name, "stopped": stopped / curves}


def _epoch(epoch: int, val: float) -> EpochMetrics:
    return EpochMetrics(
        epoch=epoch, train_loss=1.0, train_top1=0.9, val_loss=None, val_top1=val, val_top5=None,
        gap=0.9 - val, lr=0.0, images_per_s=0.0, train_s=0.0, wall_s=0.0, peak_memory_bytes=0,
    )  # fmt: skip


def benchmark(arguments: list[str] | None = None) -> None:
    made = measure.parser("overfitting", __doc__, images=False)
    add_curves(made)
    made.add_argument("--runs", type=Path, nargs="+", metavar="RUN", default=[])
    options = parse_curves(made, arguments)
    budget, curves = (3, 20) if options.quick else (BUDGET, 1000)
    run(options.out.with_suffix(".jsonl"), options, budget, curves)


def run(out: Path, given: argparse.Namespace, budget: int, curves: int) -> None:
    """Measures what is missing in `out`, in as many processes as there are cores."""
    header = provenance(detect_machine(), measure.command("overfitting")) | {
        "default": default(), "budget": budget, "workers": WORKERS, "subsets": SUBSETS,
        "subset_trials": TRIALS, "noise_curves": curves,
    }  # fmt: skip
    paths = {path.stem: path for path in given.curves}
    if out.exists():  # without a torn last line
        write_text_atomically(out, "".join(json.dumps(line) + "\n" for line in read_lines(out)))
    tables, searches = missing(out, paths, SEARCHES, range(given.rounds))
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file, ProcessPoolExecutor(CORES) as pool:

        def write(lines: Iterable[dict[str, Any]]) -> None:
            file.writelines(json.dumps(line, allow_nan=False) + "\n" for line in lines)
            file.flush()

        if not file.tell():
            write([header, *noise(curves), *(line for each in given.runs for line in again(each))])
        for found in pool.map(table, (paths[task] for task in tables)):
            write(found)
            print(f"{found[0]['task']}: {len(found)} figures", flush=True)
        places = [(paths[task], policy, seed, budget) for task, policy, seed in searches]
        for done, line in enumerate(pool.map(search, *zip(*places, strict=True)), 1):
            write([line])
            if done % 20 == 0 or done == len(places):
                print(f"{done} of {len(places)} pairs of searches", flush=True)


def missing(
    out: Path, tasks: Iterable[str], policies: Iterable[str], seeds: Iterable[int]
) -> tuple[list[str], list[tuple[str, str, int]]]:
    """(tasks without figures, searches without a line) of a benchmark that was interrupted."""
    lines = list(read_lines(out))
    seen = {line["task"] for line in lines if "rule" in line and "task" in line}
    done = {(s["task"], s["policy"], s["seed"]) for s in lines if "policy" in s}
    # Policies outermost, so that the slow one comes last; then seeds, so that tasks are even.
    every = [(task, policy, seed) for policy, seed, task in product(policies, seeds, tasks)]
    return [task for task in tasks if task not in seen], [s for s in every if s not in done]


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
