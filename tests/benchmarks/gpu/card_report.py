"""The JSON file of one card: measurements of all parts, and the figures that follow from them."""

import json
import statistics
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from results.published.make_gpu import GOALS
from tests.benchmarks.gpu.bench import Wanted
from tests.benchmarks.measure import Goal, Report, command

EIGHT = "search of eight configurations"
PATTERN = "Ray Tune as documented"
RATE = "rate of a search"
PACKING = "packing of ResNet-18 at 64 px"
BUSY = "GPU busy in a search of ResNet-50 at 64 px"
BESIDE = "beside"
"""What is compared with what is known by these names of measurements."""


class CardReport(Report):
    """Appends to the file where it exists, of equal work on an equal machine."""

    def __init__(self, path: Path, workload: dict[str, Any]) -> None:
        earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        super().__init__(path, "gpu", workload, resume=bool(earlier))
        module = "tests.benchmarks.gpu.bench_gpu"
        self._content["command"] = " ".join(["python", "-m", module, *command("gpu")[3:]])
        self._content["failures"] = earlier.get("failures", {})

    def attempt(self, part: str, section: str, wanted: Wanted, number: int) -> None:
        """Measures, unless that is done. A failure is kept by the measurement's name, for the
        next command to try again.
        """
        place = {"part": part, "section": section}
        about = {**place, "unit": wanted.unit, "goal": asdict(wanted.goal) if wanted.goal else None}
        try:
            self.measure(wanted.name, number, lambda: about | wanted.make())
            self._content["failures"].pop(wanted.name, None)
        except Exception as error:
            said = "".join(traceback.format_exception(error)[-2:])[-1000:]
            print(f"  failed: {said}", flush=True)
            self._content["failures"][wanted.name] = {**place, "error": said}
            self._write()

    def state(self) -> None:
        """States the figures of all measurements, whichever command made them."""
        by_name = {m["name"]: m for m in self._content["measurements"]}
        for name, one in by_name.items():
            goal = Goal(**one["goal"]) if one["goal"] else None
            self.figure(name, one["unit"], self.values(name), goal)
        for name, values in self._comparisons(list(by_name)).items():
            if values:
                self.figure(name, "×", values, goal_of(name))
        self._write()

    def _comparisons(self, names: list[str]) -> dict[str, list[float]]:
        """Ratios of measurements of the same round, by name; none where a side is missing."""
        against_pattern, against_packing, _, _ = GOALS
        patterns = [self.values(name) for name in names if name.startswith(PATTERN)]
        packed = [
            statistics.median(self.values(name))
            for name in names
            if name.startswith(PACKING) and "MPS" not in name
        ]
        found = {
            against_pattern: [
                ours / min(theirs)
                for ours, *theirs in zip(self.values(EIGHT), *patterns, strict=False)
                if theirs
            ],
            against_packing: [rate / max(packed) for rate in self.values(RATE) if packed],
        }
        for name in names:
            pairs = zip(self.values(f"{name}, {BESIDE}"), self.values(name), strict=False)
            found[f"{name}, times as fast as {BESIDE}"] = [other / ours for other, ours in pairs]
        return found


def goal_of(name: str) -> Goal | None:
    """The goal of a figure that the project as a whole should reach on a large card."""
    if name not in GOALS:
        return None
    _, limit, at_most = GOALS[name]
    return Goal(limit=limit, at_most=at_most)
