"""What the benchmarks share: options, the report they write, and commands against the clock."""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from common.files import write_text_atomically
from search.hardware.machine import detect_machine
from search.session.provenance import provenance

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "results" / "published" / "benchmarks"
TRIED = ROOT / "build" / "benchmarks"
"""Where `--quick` writes: its figures stand for nothing."""

CORES = 2
"""Both sides of a comparison run on this many cores, however many the machine has."""

SAME = ("workload", "machine", "versions")
"""What must be equal for a report to be gone on with."""


class BenchmarkError(Exception):
    """A benchmark can't be run or went wrong; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """A bound that a figure should keep: at most `limit`, or at least."""

    limit: float
    at_most: bool = True

    def met(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit


def parser(name: str, text: str | None, *, images: bool = True) -> argparse.ArgumentParser:
    """The options of every benchmark, `--source` for those that need images."""
    made = argparse.ArgumentParser(
        prog=f"python -m tests.benchmarks.bench_{name}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if images:
        made.add_argument(
            "--source",
            type=Path,
            metavar="ZIP",
            default=os.environ.get("TINY_IMAGENET_ZIP") or None,
            help="Tiny ImageNet or a part of it, in the official layout (default: what the "
            "environment's TINY_IMAGENET_ZIP names, else the embedded demo images)",
        )
    made.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    made.add_argument("--quick", action="store_true", help="a smoke test: its figures are void")
    made.add_argument("--out", type=Path, metavar="FILE", help="where the JSON file goes")
    return made


def parse(made: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """The options, with `out` and `rounds` decided; binds this process to `CORES` cores."""
    options = made.parse_args(arguments)
    source = getattr(options, "source", None)
    if source is not None and not source.exists():
        made.error(f"--source must exist, but {source} doesn't; check the path.")
    if options.rounds < 1:
        made.error(f"--rounds must be ≥ 1, but got {options.rounds}.")
    name = made.prog.rpartition("bench_")[2]
    options.rounds = 1 if options.quick else options.rounds
    options.out = options.out or (TRIED if options.quick else PUBLISHED) / f"{name}.json"
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    return options


class Report:
    """A benchmark's JSON file. A measurement is on disk as soon as it is made."""

    def __init__(
        self,
        path: Path,
        name: str,
        workload: dict[str, Any],
        *,
        resume: bool = False,
        same: Sequence[str] = SAME,
    ) -> None:
        self._path = path
        self._content: dict[str, Any] = {
            "benchmark": name,
            **provenance(detect_machine(), command(name)),
            "workload": workload,
            "measurements": _earlier(path, workload, same) if resume and path.exists() else [],
            "figures": [],
        }

    def measure(self, name: str, number: int, make: Callable[[], dict[str, Any]]) -> None:
        """Makes a measurement, unless it was made before this run: `value` and its details."""
        if any(m["name"] == name and m["round"] == number for m in self._content["measurements"]):
            return
        print(f"{name}, round {number} …", flush=True)
        made = {"name": name, "round": number, "commit": self._content["commit"], **make()}
        print(f"  {made['value']:.4g}", flush=True)
        self._content["measurements"].append(made)
        self._write()

    def values(self, name: str, key: str = "value") -> list[Any]:
        """A measurement's values, or a detail of it, by round."""
        found = [m for m in self._content["measurements"] if m["name"] == name]
        return [m[key] for m in sorted(found, key=lambda m: m["round"])]

    def ratios(self, above: str, below: str) -> list[float]:
        """One measurement against another, pair by pair of the same round."""
        return [a / b for a, b in zip(self.values(above), self.values(below), strict=True)]

    def figure(
        self, name: str, unit: str, values: Sequence[float], goal: Goal | None = None
    ) -> None:
        """States a figure: every value, their median and spread, and whether the goal is met."""
        median = statistics.median(values)
        self._content["figures"].append(
            {
                "name": name,
                "unit": unit,
                "goal": asdict(goal) if goal else None,
                "met": goal.met(median) if goal else None,
                "n": len(values),
                "median": median,
                "min": min(values),
                "max": max(values),
                "values": list(values),
            }
        )
        self._write()
        print(f"{name}: {median:.4g} {unit} ({min(values):.4g}…{max(values):.4g}, n={len(values)})")

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(
            self._path, json.dumps(self._content, indent=1, allow_nan=False) + "\n"
        )


def command(name: str) -> list[str]:
    """What was typed, with files by their names: where they lie is nobody's business."""
    words = [Path(word).name if os.sep in word else word for word in sys.argv[1:]]
    return ["python", "-m", f"tests.benchmarks.bench_{name}", *words]


def _earlier(path: Path, workload: dict[str, Any], same: Sequence[str]) -> list[dict[str, Any]]:
    """The measurements of an interrupted benchmark. Raises `BenchmarkError` for another's."""
    content = json.loads(path.read_text(encoding="utf-8"))
    here = provenance(detect_machine(), []) | {"workload": json.loads(json.dumps(workload))}
    changed = [key for key in same if content.get(key) != here[key]]
    if changed:
        raise BenchmarkError(
            f"A benchmark goes on with equal work on an equal machine, but {path} differs in "
            f"{', '.join(changed)}; start over in another --out."
        )
    return list(content["measurements"])


def environment() -> dict[str, str]:
    """For measured processes: no packages of other projects, no Ray of other people."""
    return os.environ | {"PYTHONPATH": "", "PYTHONUNBUFFERED": "1", "RAY_ADDRESS": "local"}


def run(
    command: Sequence[str | Path],
    *,
    timeout_s: float = 3600,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> tuple[float, str]:
    """Runs Python with `command`: (seconds from start to exit, what it printed).

    env: variables beside those of `environment`.

    Raises `BenchmarkError`, with the end of its error output, when it fails or takes too long.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=environment() | dict(env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        out, err = process.communicate(timeout=timeout_s)
    except BaseException as error:
        end_tree(process)
        if isinstance(error, subprocess.TimeoutExpired):
            said = f"{' '.join(map(str, command))} hasn't ended after {timeout_s:g} s."
            raise BenchmarkError(said) from error
        raise
    seconds = time.perf_counter() - started
    if process.returncode:
        raise BenchmarkError(f"{' '.join(map(str, command))} failed: {err[-2000:]}")
    return seconds, out


def end_tree(process: "subprocess.Popen[str]") -> None:
    """Kills a process and all that it has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    process.kill()
    process.communicate()


def last_json(text: str) -> dict[str, Any]:
    """The object on the last line of what a process printed."""
    return dict(json.loads(text.strip().splitlines()[-1]))


def main(benchmark: Callable[[], None]) -> int:
    """Runs a benchmark; returns the exit code."""
    try:
        benchmark()
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
