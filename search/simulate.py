"""Whole searches in seconds, on recorded curves: `python -m search.simulate CURVES…`.

The study, the rungs, the stopping rules and the sampler are those of `search.run`. Ray's place is
taken by a clock that knows how long each recorded epoch took, and training's by the table.
"""

import argparse
import sys
from pathlib import Path

from common.cli import Parser, refuse
from common.errors import UserError
from search.config.command_line import resolve
from search.simulation.policies import POLICIES
from search.simulation.recorded_curves import Curves, read_curves
from search.simulation.simulator import SHARES, _means


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 0 done, 2 refused."""
    given = parser().parse_args(arguments)
    rules = {name: getattr(given, name) for name in _RULES if getattr(given, name) is not None}
    options, errors = resolve({"space": "recorded", **rules})
    faults: list[UserError | OSError | str] = [*errors, *_faults(given)]
    tasks: list[Curves] = []
    for path in given.curves:
        try:
            tasks.append(read_curves(path))
        except (UserError, OSError) as error:
            faults.append(error)
    if faults:
        return refuse(*faults)
    print(f"{'regret × 100 at':24}" + "".join(f"{share:>8.0%}" for share in SHARES), flush=True)
    for curves in tasks:
        print(f"{curves.name} ({len(curves.val):,} configurations of {curves.epochs} epochs)")
        for name in given.policy or POLICIES:
            means = _means(name, curves, options, given)
            print(f"  {name:22}" + "".join(f"{100 * mean:8.1f}" for mean in means), flush=True)
    return 0


_RULES = ("grace", "reduction_factor", "max_gap", "gap_patience", "plateau_patience")
"""Options of `search.run` that decide when trials end."""


def parser() -> Parser:
    """The command line."""
    made = Parser(
        prog="python -m search.simulate",
        description="Try searching on recorded curves: .npz files, or the folders of runs.",
    )
    made.add_argument(
        "curves", nargs="+", type=Path, metavar="CURVES", help="an .npz file, or a run"
    )
    made.add_argument(
        "--policy", action="append", choices=POLICIES, help="one of these (default: all of them)"
    )
    made.add_argument(
        "--workers", type=int, default=8, metavar="N", help="trials at the same time (default: 8)"
    )
    made.add_argument(
        "--budget",
        type=float,
        default=60.0,
        metavar="X",
        help="of a search, in full trainings (default: 60)",
    )
    made.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="searches of each policy (default: 3)"
    )
    for name in _RULES:
        made.add_argument("--" + name.replace("_", "-"), metavar="N", help="as in search.run")
    return made


def _faults(given: argparse.Namespace) -> list[str]:
    """One sentence for each broken rule."""
    rules = [
        (given.workers >= 1, "workers must be ≥ 1", given.workers),
        (given.budget > 0, "budget must be > 0", given.budget),
        (given.seeds >= 1, "seeds must be ≥ 1", given.seeds),
    ]
    return [f"--{rule}, but got {value}." for good, rule, value in rules if not good]


if __name__ == "__main__":
    sys.exit(main())
