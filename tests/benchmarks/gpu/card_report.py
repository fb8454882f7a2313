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
    """Appends to the file where it exists, of equal work on cards of one name.

    uuid: which card this is; only what one card has measured is compared.
    """

    def __init__(self, path: Path, workload: dict[str, Any], uuid: str) -> None:
        earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        same = ("workload", "versions")
        super().__init__(path, "gpu", workload, resume=bool(earlier), same=same)
        self._uuid = uuid
        module = "tests.benchmarks.gpu.bench_gpu"
        self._content["command"] = " ".join(["python", "-m", module, *command("gpu")[3:]])
        self._content["failures"] = earlier.get("failures", {})

    def attempt(self, part: str, section: str, wanted: Wanted, number: int) -> None:
        """Measures, unless that is done. A failure is kept by the measurement's name, for the
        next command to try again.
        """
        place = {"part": part, "section": section}
        about = {
            **place,
            "uuid": self._uuid,
            "unit": wanted.unit,
            "goal": asdict(wanted.goal) if wanted.goal else None,
        }
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
        """Ratios of what one card has measured, in one round or, for packing, in any."""
        against_pattern, against_packing, _, _ = GOALS
        found: dict[str, list[float]] = {against_pattern: [], against_packing: []}
        patterns = [self._by_card(name) for name in names if name.startswith(PATTERN)]
        for key, ours in self._by_card(EIGHT).items():
            if theirs := [pattern[key] for pattern in patterns if key in pattern]:
                found[against_pattern].append(ours / min(theirs))
        for (uuid, _), rate in self._by_card(RATE).items():
            if packed := self._packed(names, uuid):
                found[against_packing].append(rate / max(packed))
        for name in names:
            beside, ours = self._by_card(f"{name}, {BESIDE}"), self._by_card(name)
            ratios = [beside[key] / ours[key] for key in ours.keys() & beside.keys()]
            found[f"{name}, times as fast as {BESIDE}"] = ratios
        return found

    def _by_card(self, name: str) -> dict[tuple[str, int], float]:
        """The measured values of a name by card and round."""
        keys = zip(self.values(name, "uuid"), self.values(name, "round"), strict=True)
        return dict(zip(keys, self.values(name), strict=True))

    def _packed(self, names: list[str], uuid: str) -> list[float]:
        """The median rate of each number of trainings on a card, without MPS."""
        packings = [name for name in names if name.startswith(PACKING) and "MPS" not in name]
        rates = [
            [value for (card, _), value in self._by_card(name).items() if card == uuid]
            for name in packings
        ]
        return [statistics.median(each) for each in rates if each]


def goal_of(name: str) -> Goal | None:
    """The goal of a figure that the project as a whole should reach on a large card."""
    if name not in GOALS:
        return None
    _, limit, at_most = GOALS[name]
    return Goal(limit=limit, at_most=at_most)
