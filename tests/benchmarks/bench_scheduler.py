"""How fast policies find good configurations: simulated searches on recorded curves.

Regret after 5, 10 … 100 % of the budget, for every policy, task, seed and number of workers.
Each search's line is on disk as soon as it is done, and a benchmark that was interrupted goes on
with what is missing; a policy that has changed is searched with again by `--redo NAME`. The page is
made by `python -m results.published.make_scheduler`.

With `--only-rows` a policy proposes none but a table's own configurations, each once. Otherwise the
nearest row answers whatever is proposed, so that what a policy knows of a place is worth less than
it is where every place has an answer of its own; but rivals that choose freely need it.

Without curves of real trainings (`--curves`, see search/simulation/recorded_curves.py for the
format) made-up ones are drawn, whose figures are void.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import product, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from common.files import write_text_atomically
from results.analysis.rung_values import quiet_optuna
from results.jsonl import read_lines
from search.config.options import SearchOptions
from search.hardware.machine import detect_machine
from search.session.provenance import provenance, versions
from search.simulation.policies import POLICIES, MakePolicy
from search.simulation.recorded_curves import Curves, read_curves
from search.simulation.simulator import highest_value, make_simulated_rules, simulate
from tests.benchmarks import (
    measure,
    rival_environments,
    rivals,
    rivals_apart,
    rivals_prior,
    rivals_ray,
    rivals_syne,
)
from tests.benchmarks.drawn import add_curves, parse_curves
from tests.benchmarks.measure import CORES

BUDGET = 60
"""In full trainings of a task's epochs."""

WORKERS = (2, 8, 32)
POINTS = 20
"""Regret is noted after each of so many equal parts of the budget."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One simulated search."""

    policy: str
    task: str
    workers: int
    seed: int


BY_NAME: dict[str, MakePolicy] = {
    "Optuna: GPSampler, our rungs": rivals.gaussian_process,
    **rivals_prior.POLICIES,
    **rivals_apart.POLICIES,
}
"""Policies that only `--policy` searches with: they take minutes, know a table beforehand, or need
an environment of their own.
"""

EVERY: dict[str, MakePolicy] = {
    **POLICIES,
    "Ray: OptunaSearch + ASHA, defaults": rivals_ray.stock,
    "Ray: OptunaSearch + ASHA, our rungs": rivals_ray.same_rungs,
    "Optuna: TPE + Hyperband": rivals.hyperband,
    "Optuna: TPE + successive halving": rivals.successive_halving,
    "one epoch for all, then the best": rivals.one_epoch(BUDGET),
    **rivals_syne.POLICIES,
    **BY_NAME,
}
"""The policies by their names in the table: all whose packages or environments are there."""

USUAL = [name for name in EVERY if name not in BY_NAME]
"""These are searched with where `--policy` names none."""


@lru_cache(maxsize=32)
def _curves(path: Path, only_rows: bool) -> Curves:
    return replace(read_curves(path), only_rows=only_rows)


def search(cell: Cell, path: Path, budget: float, only_rows: bool = False) -> dict[str, Any]:
    """Runs one search; regret at equal parts of the budget, of the configuration that had the
    highest value of any epoch, and of the one that has the highest latest value.
    """
    curves, started = _curves(path, only_rows), sum(os.times()[:4])
    epochs = round(budget * curves.epochs)
    with quiet_optuna(), ExitStack() as stack:
        rules = make_simulated_rules(SearchOptions(), curves)
        policy = EVERY[cell.policy](curves, rules, cell.seed)
        if isinstance(policy, rivals_apart.Apart):
            stack.callback(policy.close)
        trace = simulate(policy, curves, workers=cell.workers, epochs=epochs)
    at = [max(1, round(epochs * part / POINTS)) for part in range(1, POINTS + 1)]
    return {
        **asdict(cell),
        "regret": [round(regret, 5) for regret in trace.regrets(at, highest_value)],
        "regret_latest": [round(regret, 5) for regret in trace.regrets(at)],
        "trials": len({event.trial for event in trace.events}),
        "cpu_s": round(sum(os.times()[:4]) - started, 2),
    }


def missing(path: Path, cells: Iterable[Cell]) -> list[Cell]:
    """The cells that have no line in `path` yet."""
    done = {
        Cell(*(line[key] for key in ("policy", "task", "workers", "seed")))
        for line in read_lines(path)
        if "policy" in line
    }
    return [cell for cell in cells if cell not in done]


def forget(path: Path, redo: Iterable[str]) -> None:
    """Drops the lines of policies that are to be searched with again, and a torn last line."""
    gone = set(redo)
    kept = [json.dumps(line) for line in read_lines(path) if line.get("policy") not in gone]
    if path.exists():
        write_text_atomically(path, "".join(line + "\n" for line in kept))


def benchmark(arguments: list[str] | None = None) -> None:
    made = measure.parser("scheduler", __doc__, images=False)
    add_curves(made)
    made.add_argument("--policy", nargs="+", choices=EVERY, default=USUAL, metavar="NAME")
    made.add_argument("--redo", nargs="+", choices=EVERY, default=[], metavar="NAME")
    made.add_argument("--workers", type=int, nargs="+", default=WORKERS, metavar="N")
    made.add_argument("--first-seed", type=int, default=0, metavar="N", help="default: 0")
    made.add_argument("--only-rows", action="store_true")
    options = parse_curves(made, arguments)
    if options.only_rows and (free := [p for p in options.policy if p not in POLICIES]):
        made.error(f"--only-rows needs --policy of {', '.join(POLICIES)}, not {', '.join(free)}.")
    for sentence in rivals_apart.missing():
        print(sentence, flush=True)
    run(options.out.with_suffix(".jsonl"), options, 3.0 if options.quick else BUDGET)


def run(out: Path, given: argparse.Namespace, budget: float) -> None:
    """Searches what is missing in `out`, in as many processes as there are cores."""
    paths = {path.stem: path for path in given.curves}
    forget(out, given.redo)
    # Seeds outermost: a benchmark that is interrupted has every policy equally often.
    every = [
        Cell(policy, task, workers, seed)
        for seed, workers, task, policy in product(
            range(given.first_seed, given.first_seed + given.rounds),
            given.workers,
            paths,
            given.policy,
        )
    ]
    todo = missing(out, every)
    out.parent.mkdir(parents=True, exist_ok=True)
    # One thread each, which numpy learns when it is imported: more would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = get_context("spawn")
    with out.open("a", encoding="utf-8") as file, ProcessPoolExecutor(CORES, context) as pool:
        header = provenance(detect_machine(), sys.argv[1:]) | {"budget": budget}
        header["versions"] |= versions(["syne-tune"]) | rival_environments.every_version()
        file.write(json.dumps(header) + "\n")
        places = [paths[cell.task] for cell in todo]
        lines = pool.map(search, todo, places, repeat(budget), repeat(given.only_rows))
        for done, line in enumerate(lines, 1):
            file.write(json.dumps(line) + "\n")
            file.flush()
            if done % 50 == 0 or done == len(todo):
                print(f"{done} of {len(todo)} searches", flush=True)


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
