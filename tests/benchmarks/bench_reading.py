"""What it costs to read a long run: its tables, its importances, its page.

Runs with made-up curves are written to disk, of 1,000 and of 5,000 trials. Each command reads one
in a process of its own, so that its processor seconds and the most memory that it held are its
alone. `--beside CHECKOUT` reads the same runs by another version of the project, in turn. The page
is made by `python -m results.published.make_scale`.
"""

import math
import random
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from results.analysis.rung_values import quiet_optuna
from results.records import StopReason, TrialState
from tests.benchmarks import measure
from tests.benchmarks.measure import TRIED, Report
from tests.results.example_run import Made, make_run
from tests.results.example_search import MANIFEST, RANGES

TRIALS = (1000, 5000)
LENGTHS, LONGEST = (1, 3, 3, 9, 27), 27
"""Trials end after so many epochs, each of these as often as it stands here."""

COMMANDS = {
    "frame": "from results import frame; frame.trials(run); frame.epochs(run)",
    "report": "from results.report import write_report; page = write_report(run, page)",
    "importance": "from results.importance import importances; importances(run)",
}
"""Name -> the statements that read the folder `run`; a page goes to the file `page`."""

READ = """
import json, resource, sys, time
from pathlib import Path
run, page = map(Path, sys.argv[1:])
began = time.process_time()
{statements}
size = page.stat().st_size / 1e6 if page.exists() else 0.0
most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
print(json.dumps(dict(value=time.process_time() - began, memory_mb=most, page_mb=size)))
"""


def write_run(directory: Path, trials: int) -> None:
    """A run of so many trials, the better the nearer their learning rate lies to 0.001."""
    draw = random.Random(0)
    made = []
    for number in range(trials):
        rate, optimizer = 10 ** draw.uniform(-5, -1), draw.choice(["adamw", "sgd"])
        params: dict[str, Any] = {
            "lr": rate,
            "optimizer": optimizer,
            "freeze_depth": draw.randint(0, 4),
            "flip": draw.random() < 0.5,
        }
        if optimizer == "sgd":
            params["momentum"] = draw.uniform(0.5, 0.99)
        end = 0.6 - 0.05 * abs(math.log10(rate) + 3) - 0.02 * params["freeze_depth"]
        length = draw.choice(LENGTHS) if number else LONGEST
        rise = [end * (1 - 0.7 / epoch) for epoch in range(1, length + 1)]
        values = [max(0.01, value + draw.gauss(0, 0.01)) for value in rise]
        state, reason = TrialState.COMPLETE, None
        if length < LONGEST:
            state, reason = TrialState.STOPPED, StopReason.RUNG
        made.append(Made(params=params, values=values, state=state, reason=reason))
    shutil.rmtree(directory, ignore_errors=True)
    with quiet_optuna():
        make_run(directory, RANGES, made, LONGEST, MANIFEST)


def read(command: str, run: Path, checkout: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Processor seconds, peak memory and the page's size of a command of some checkout, and what is
    known of the run and the checkout.
    """
    page = run.with_suffix(".html")
    page.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", READ.format(statements=COMMANDS[command]), run, page],
        cwd=checkout, encoding="utf-8", capture_output=True, check=False,
        env=measure.environment() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode:
        raise measure.BenchmarkError(f"{command} failed in {checkout}: {done.stderr[-1000:]}")
    return measure.last_json(done.stdout) | facts | {"command": command}


def benchmark(arguments: list[str] | None = None) -> None:
    made = measure.parser("reading", __doc__, images=False)
    made.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another version's folder")
    made.add_argument("--resume", action="store_true", help="go on with an interrupted one")
    given = measure.parse(made, arguments)
    sizes = (20, 60) if given.quick else TRIALS
    report = Report(given.out, "reading", {"trials": list(sizes)}, resume=given.resume)
    sides = {"here": measure.ROOT} | ({"beside": given.beside} if given.beside else {})
    for trials in sizes:
        run = TRIED / f"reading-{trials}"
        write_run(run, trials)
        epochs = (run / "epochs.jsonl").read_bytes().count(b"\n")
        facts = {"trials": trials, "epochs": epochs}
        for number in range(given.rounds):
            for command in COMMANDS:
                for side, checkout in sides.items():
                    report.measure(
                        f"{command}, {trials} trials, {side}", number,
                        partial(read, command, run, checkout, facts | {"side": side}),
                    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
