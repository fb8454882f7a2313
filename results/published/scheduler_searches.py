"""Reads the searches that `bench_scheduler` has simulated."""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from results.jsonl import read_lines
from results.published.regret_statistics import Matrix

OURS, PLAIN = "ours", "random + ASHA"
"""In the benchmark's results, the project's policy and the plain policy that it is compared with at
the start have these names.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Searches:
    """Holds the benchmark's results; `regret` has an array of shape (tasks, seeds, parts of the
    budget) for each (policy, workers), and `cpu_s` the median processor time of a search. `latest`
    is the regret of the configuration with the highest latest value, where that was measured.
    """

    headers: list[dict[str, Any]]
    commits: list[str]
    tasks: list[str]
    regret: dict[tuple[str, int], Matrix]
    cpu_s: dict[tuple[str, int], float]
    latest: dict[tuple[str, int], Matrix]

    @property
    def workers(self) -> list[int]:
        """Returns the numbers of workers that were simulated, rising."""
        return sorted({workers for _, workers in self.regret})

    @property
    def middle(self) -> int:
        """Returns the number of workers that figures and tables of tasks show: 8 where they were
        simulated, else the lowest.
        """
        return 8 if 8 in self.workers else self.workers[0]

    def policies(self, workers: int) -> list[str]:
        """Returns the policies that were simulated with this many workers, by rising mean regret at
        the end.
        """
        found = [policy for policy, count in self.regret if count == workers]
        return sorted(found, key=lambda policy: float(self.regret[policy, workers][..., -1].mean()))


def read(path: Path, first: Path | None = None) -> Searches:
    """Reads the searches in `path`, and beside them those of `OURS` and `PLAIN` in `first`, with
    the same numbers of workers. Only seeds that every policy has on every task are included.
    """
    lines = list(read_lines(path))
    counts = {line["workers"] for line in lines if "policy" in line}
    beside = [s for s in read_lines(first) if s.get("policy") in (OURS, PLAIN)] if first else []
    every = [*(s for s in beside if s["workers"] in counts), *lines]
    found = {(s["policy"], s["workers"], s["task"], s["seed"]): s for s in every if "policy" in s}
    tasks = sorted({task for _, _, task, _ in found})
    regret: dict[tuple[str, int], Matrix] = {}
    cpu_s: dict[tuple[str, int], float] = {}
    latest: dict[tuple[str, int], Matrix] = {}
    for workers in counts:
        policies = list(dict.fromkeys(p for p, count, _, _ in found if count == workers))
        seeds = [
            seed
            for seed in sorted({seed for _, _, _, seed in found})
            if all((p, workers, task, seed) in found for p in policies for task in tasks)
        ]
        for policy in policies if seeds else ():
            own = [[found[policy, workers, t, s] for s in seeds] for t in tasks]
            regret[policy, workers] = np.array([[s["regret"] for s in row] for row in own])
            if all("regret_latest" in s for row in own for s in row):
                rows = [[s["regret_latest"] for s in row] for row in own]
                latest[policy, workers] = np.array(rows)
            cpu_s[policy, workers] = statistics.median(
                found[policy, workers, task, seed]["cpu_s"] for task in tasks for seed in seeds
            )
    headers = [line for line in lines if "policy" not in line]
    commits = list(dict.fromkeys(str(header["commit"]) for header in headers))
    return Searches(
        headers=headers, commits=commits, tasks=tasks, regret=regret, cpu_s=cpu_s, latest=latest
    )
