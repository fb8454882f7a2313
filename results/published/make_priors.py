"""Writes the page of what priors gain and cost: `python -m results.published.make_priors`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.files import write_text_atomically
from results.jsonl import read_lines
from results.published.page_parts import paths_parser, table_head
from results.published.regret_statistics import RESAMPLES, SHARES, Matrix, at_shares

HERE = Path(__file__).resolve().parent
SEARCHES = HERE / "benchmarks" / "priors.jsonl"
PAGE = HERE / "priors.md"

BASE = "ours"
"""The benchmark's policy without a prior has this name."""

INTRODUCTION = """# What priors gain and cost

A space may hold what its author believes ([your own](../../docs/guides/your-own.md)). A search
tries it at once, to its end, and draws half of the first random configurations near it. Here the
belief is one row of a recorded table, in all parameters and with one confidence:

- *right*: the table's best row;
- *wrong*: a row of the worst tenth, another one for each seed.

Simulated searches, 8 workers, a budget of 60 full trainings, made by

    python -m tests.benchmarks.bench_scheduler --curves … --workers 8 --first-seed 20 \\
        --rounds 20 --policy ours "ours, wrong prior 0.75" … --out priors.json

- Regret × 100 of the configuration handed over, as in [scheduler.md](scheduler.md): 0 is the
  table's best after full training, 100 its median.
- *prior*: the mean with the prior. *gain or cost*: the mean difference from the searches without a
  prior that have the same seeds; below 0, the prior gains. *from all*: the difference from all
  {all} searches without a prior, whose mean is steadier than that of a few seeds.
- Brackets: 95 % of {resamples:,} bootstrap means, seeds drawn anew within each task. A prior stands
  here if it was searched with on every task, with two seeds at least.
"""

Searches = Mapping[str, Mapping[str, Mapping[int, Matrix]]]
"""Searches are the regrets at `SHARES` by policy, task and seed."""


def read_searches(path: Path) -> Searches:
    """Returns the regrets of the configurations handed over, from the benchmark's lines."""
    found: dict[str, dict[str, dict[int, Matrix]]] = {}
    for line in read_lines(path):
        if "policy" in line:
            tasks = found.setdefault(line["policy"], {})
            regrets = at_shares(np.array(line["regret_latest"], dtype=np.float64))
            tasks.setdefault(line["task"], {})[line["seed"]] = 100 * regrets
    return found


def page(path: Path) -> str:
    """Returns the text of the page, from the benchmark's lines in `path`."""
    searches = read_searches(path)
    base = searches[BASE]
    searches = {policy: tasks for policy, tasks in searches.items() if is_complete(tasks, base)}
    parts = [
        INTRODUCTION.format(
            all=f"{sum(map(len, base.values())):,}",
            resamples=RESAMPLES,
        )
    ]
    for index, share in enumerate(SHARES):
        parts.append(f"## After {share:.0%} of the budget\n")
        parts.append(table_head("| prior | searches | prior | gain or cost | from all |"))
        parts += [
            _row(policy, tasks, base, index)
            for policy, tasks in sorted(searches.items())
            if policy != BASE
        ]
        parts.append("")
    return "\n".join([*parts, *_by_task(searches)])


def is_complete(
    tasks: Mapping[str, Mapping[int, Matrix]], base: Mapping[str, Mapping[int, Matrix]]
) -> bool:
    """Returns whether a policy has searched every task of `base`, with two seeds or more."""
    return tasks.keys() == base.keys() and min(map(len, tasks.values())) > 1


def _row(
    policy: str,
    tasks: Mapping[str, Mapping[int, Matrix]],
    base: Mapping[str, Mapping[int, Matrix]],
    index: int,
) -> str:
    own = [np.array([r[index] for r in seeds.values()]) for seeds in tasks.values()]
    pairs = [
        np.array([r[index] - base[task][seed][index] for seed, r in seeds.items()])
        for task, seeds in tasks.items()
    ]
    all_without = [np.array([r[index] for r in base[task].values()]) for task in tasks]
    apart = _resampled(own) - _resampled(all_without)
    mean = np.mean([each.mean() for each in own]), np.mean([each.mean() for each in all_without])
    cells = [
        policy.removeprefix(f"{BASE}, "),
        str(sum(map(len, own))),
        f"{mean[0]:.1f}",
        _with_interval(float(np.mean([each.mean() for each in pairs])), _resampled(pairs)),
        _with_interval(float(mean[0] - mean[1]), apart),
    ]
    return f"| {' | '.join(cells)} |"


def _with_interval(mean: float, resampled: Matrix) -> str:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return f"{mean:+.1f} [{low:+.1f}…{high:+.1f}]"


def _resampled(values: list[Matrix]) -> Matrix:
    """Returns `RESAMPLES` bootstrap means over tasks of unequal numbers of seeds."""
    rng = np.random.default_rng(0)
    means = [
        each[rng.integers(len(each), size=(RESAMPLES, len(each)))].mean(axis=1) for each in values
    ]
    found: Matrix = np.mean(means, axis=0)
    return found


def _by_task(searches: Searches) -> Iterator[str]:
    """Yields a table of the mean regret after the whole budget, by task and policy."""
    tasks = sorted(searches[BASE])
    yield "## By task, after the whole budget\n"
    yield table_head(f"| | {' | '.join(tasks)} |")
    for policy, found in sorted(searches.items()):
        cells = [_mean(found.get(task, {})) for task in tasks]
        yield f"| {policy.removeprefix(f'{BASE}, ')} | {' | '.join(cells)} |"
    yield ""


def _mean(seeds: Mapping[int, Any]) -> str:
    return f"{np.mean([r[-1] for r in seeds.values()]):.1f}" if seeds else "–"


def main(arguments: list[str] | None = None) -> None:
    """Writes the page with `arguments` (default: those of the process)."""
    parser = paths_parser("make_priors", __doc__, searches=SEARCHES, out=HERE)
    options = parser.parse_args(arguments)
    write_text_atomically(options.out / PAGE.name, page(options.searches))


if __name__ == "__main__":
    main()
