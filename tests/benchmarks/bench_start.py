"""From the command to the first optimizer step, betons ready: two trials of a ResNet-18.

As `search.run --verbose` tells it, from the start of the process on; where the time goes is
kept for each stage. Once with nothing known beforehand, so that the precision is measured, and
once more when it is known.
"""

import re
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import measure
from tests.benchmarks.measure import BenchmarkError, Goal, Report
from tests.benchmarks.workload import DATASET, Size, Workload

FIRST, AGAIN = "the first search on a machine", "a later search"
SIZE = Size(classes=4, images=40)
"""A short epoch: the benchmark waits for its end."""


def _search(workload: Workload, out: Path, name: str) -> dict[str, Any]:
    """Seconds to the first step; `stages` are those before it, in order."""
    space = Path(__file__).with_name("eight_space.py")
    _, told = measure.run(
        [
            "-m", "search.run", "--space", space, "--dataset", DATASET, "--data", workload.data,
            "--out", out, "--name", name, "--trials", "2", "--epochs", "1", "--concurrency", "2",
            "--verbose",
        ]
    )  # fmt: skip
    return stages(told)


def stages(told: str) -> dict[str, Any]:
    """What `--verbose` tells. Raises `BenchmarkError` when it doesn't tell the first step."""
    first_step = re.search(r"first step at ([\d.]+) s", told)
    if first_step is None:
        raise BenchmarkError(f"search.run --verbose must tell the first step, but told: {told}")
    found = re.findall(r"^ +(\w[^:\n]*): ([\d.]+) s \(", told, flags=re.MULTILINE)
    return {
        "value": float(first_step[1]),
        "stages": {name: float(seconds) for name, seconds in found},
    }


def benchmark(arguments: list[str] | None = None) -> None:
    options = measure.parse(measure.parser("start", __doc__), arguments)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        workload = Workload(options.source, folder, SIZE)
        report = Report(options.out, "start", workload.facts())
        for number in range(1, options.rounds + 1):
            out = folder / f"runs-{number}"
            report.measure(FIRST, number, partial(_search, workload, out, "first"))
            report.measure(AGAIN, number, partial(_search, workload, out, "again"))
    for name in (FIRST, AGAIN):
        title = f"from the command to the first step, {name}"
        report.figure(title, "s", report.values(name), Goal(limit=15))
    told = report.values(FIRST, "stages")
    for stage in told[0]:
        print(f"  {stage}: {statistics.median(each[stage] for each in told):.1f} s")


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
