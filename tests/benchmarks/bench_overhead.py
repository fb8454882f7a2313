"""What a trial costs besides its training: trials of 1 to 9 made-up epochs, two at a time.

Ours: study, searcher, scheduler, monitor, records on disk and reused workers, 500 trials.
Plain Ray Tune: a function trainable, OptunaSearch, ASHAScheduler, as documented; fewer trials,
since the figure is seconds a trial. Timed is the fit alone: Ray has started, workers haven't.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import measure
from tests.benchmarks.measure import BenchmarkError, Goal, Report, last_json

OURS, PLAIN = "our tuner", "plain Ray Tune"


def _fit(module: str, trials: int, out: Path) -> dict[str, Any]:
    """Seconds a trial, and whatever else the side tells."""
    command: list[str | Path] = ["-m", f"tests.benchmarks.{module}", "--trials", str(trials)]
    told = last_json(measure.run([*command, "--out", out])[1])
    if told["trials"] != trials:
        raise BenchmarkError(f"{module} ended {told['trials']} of {trials} trials.")
    return {"value": told["fit_s"] / trials, **told}


def _state(report: Report) -> None:
    trials = report.values(OURS, "trials")
    for side in (OURS, PLAIN):
        counts = ", ".join(f"{n:,}" for n in sorted(set(report.values(side, "trials"))))
        report.figure(f"an instant trial, {side} ({counts} trials)", "s", report.values(side))
    report.figure(
        f"an instant trial, {OURS} against {PLAIN}",
        "×",
        report.ratios(OURS, PLAIN),
        Goal(limit=0.05),
    )
    driver = [s / n for s, n in zip(report.values(OURS, "driver_s"), trials, strict=True)]
    report.figure("processor time of the driver a trial", "s", driver)
    ends = report.values(OURS, "memory_end_bytes")
    grown = zip(ends, report.values(OURS, "memory_warm_bytes"), strict=True)
    report.figure("memory of the driver at the end", "MB", [end / 1e6 for end in ends])
    report.figure(
        "growth of it over the last nine tenths of the trials",
        "MB",
        [(end - warm) / 1e6 for end, warm in grown],
    )


def benchmark(arguments: list[str] | None = None) -> None:
    made = measure.parser("overhead", __doc__, images=False)
    made.add_argument("--trials", type=int, default=500, metavar="N", help="ours (default: 500)")
    made.add_argument(
        "--plain-trials", type=int, default=30, metavar="N", help="plain Ray Tune's (default: 30)"
    )
    options = measure.parse(made, arguments)
    ours, plain = (20, 4) if options.quick else (options.trials, options.plain_trials)
    report = Report(options.out, "overhead", {"trials": ours, "plain_trials": plain})
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, options.rounds + 1):
            for name, module, trials in (
                (OURS, "instant_ours", ours),
                (PLAIN, "instant_plain", plain),
            ):
                out = Path(folder) / f"{module}-{number}"
                report.measure(name, number, partial(_fit, module, trials, out))
    _state(report)


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
