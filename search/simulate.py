"""Runs whole searches in seconds, on recorded learning curves: `python -m search.simulate CURVES…`.

The study, the rungs, the stopping rules and the sampler are those of `search.run`. A clock that
knows the duration of each recorded epoch takes Ray's place, and the table of curves takes the place
of training.
"""

import argparse
import sys
from dataclasses import fields, replace
from pathlib import Path

from common.cli import Parser, refuse
from common.errors import UserError
from search.config.command_line import resolve
from search.config.options import EARLY_STOPPING, SCREENING, SearchOptions, flag_of
from search.simulation.policies import POLICIES
from search.simulation.recorded_curves import Curves, read_curves
from search.simulation.simulator import SHARES, mean_regrets


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code:
    0, or 2 where the arguments are refused.
    """
    namespace = parser().parse_args(arguments)
    rules = {
        name: getattr(namespace, name) for name in _RULES if getattr(namespace, name) is not None
    }
    options, errors = resolve({"space": "recorded", **rules})
    faults: list[UserError | OSError | str] = [*errors, *_faults(namespace)]
    tasks, screened = list[Curves](), options is not None and options.fidelity == SCREENING
    for path in namespace.curves:
        try:
            curves = read_curves(path)
            tasks.append(replace(curves, only_rows=namespace.only_rows, screening=screened))
            if screened and curves.short is None:
                faults.append(
                    f"--fidelity screening needs recorded short trainings, but {path} has none; "
                    "leave it out, or name a table of results/published/curves/."
                )
        except (UserError, OSError) as error:
            faults.append(error)
    if faults:
        return refuse(*faults)
    print(f"{'regret × 100 at':24}" + "".join(f"{share:>8.0%}" for share in SHARES), flush=True)
    for curves in tasks:
        print(f"{curves.name} ({len(curves.val):,} configurations of {curves.epochs} epochs)")
        for name in namespace.policy or POLICIES:
            *means, used = mean_regrets(name, curves, options, namespace)
            end = f"  ended after {used:.0%} of the budget" if options.min_gain else ""
            print(
                f"  {name:22}" + "".join(f"{100 * mean:8.1f}" for mean in means) + end, flush=True
            )
    return 0


_RULES = tuple(
    f.name
    for f in fields(SearchOptions)
    # No simulated training hangs.
    if (f.metadata["group"] == EARLY_STOPPING and f.name != "stall_timeout")
    or f.name in ("min_gain", "fidelity")
)
"""The command passes these options of `search.run`, which decide when trials and searches end, on
to the simulated searches. An hour is one of a worker.
"""


def parser() -> Parser:
    """Builds the parser for the arguments of `python -m search.simulate`."""
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
        metavar="TRAININGS",
        help="budget of a search, in full trainings (default: 60)",
    )
    made.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="searches of each policy (default: 3)"
    )
    made.add_argument(
        "--only-rows",
        action="store_true",
        help="propose none but the table's configurations, each once, instead of any ones, which "
        "the table's nearest answer",
    )
    for f in fields(SearchOptions):
        if f.name in _RULES:
            metavar = f.metadata["metavar"]
            made.add_argument("--" + flag_of(f.name), metavar=metavar, help="as in search.run")
    return made


def _faults(namespace: argparse.Namespace) -> list[str]:
    """Returns one sentence for each argument that violates its rule."""
    rules = [
        (namespace.workers >= 1, "workers must be ≥ 1", namespace.workers),
        (namespace.budget > 0, "budget must be > 0", namespace.budget),
        (namespace.seeds >= 1, "seeds must be ≥ 1", namespace.seeds),
    ]
    return [f"--{rule}, but got {value}." for good, rule, value in rules if not good]


if __name__ == "__main__":
    sys.exit(main())
