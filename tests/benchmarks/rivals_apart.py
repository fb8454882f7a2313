"""Rivals for the simulated clock that run in processes of environments of their own.

`rival_environments` makes the environments, and the files in `apart/` speak for the rivals. Each
has its own brackets, and a promoted trial goes on from the epoch at which it paused.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from results.records import EpochMetrics, TrainingId
from search.early_stopping.decision import Rules
from search.simulation.points import Point
from search.simulation.policies import MakePolicy, Policy
from search.simulation.recorded_curves import Curves
from search.study.proposer import Proposal
from tests.benchmarks import rival_environments
from tests.benchmarks.measure import BenchmarkError
from tests.benchmarks.rivals_prior import believed, good

SIDES = Path(__file__).resolve().parent / "apart"

ENDED = "ended"


class Apart:
    """A rival in a process of `python`, which `close` ends."""

    def __init__(
        self,
        python: Path,
        side: str,
        curves: Curves,
        seed: int,
        prior: dict[str, Any] | None = None,
    ) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        # One thread, as our own policies have: two searches run at once, on two cores.
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [str(python), str(SIDES / f"{side}.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | threads | {"PYTHONPATH": ""},
            encoding="utf-8",
        )
        space = {name: _domain(each) for name, each in curves.space.items()}
        self._send({"space": space, "epochs": curves.epochs, "seed": seed, "prior": prior})
        self._until: dict[int, int] = {}

    def ask(self) -> Proposal[Point] | None:
        self._send({"ask": True})
        if not (line := self._process.stdout.readline()):
            self._fail()
        if (asked := json.loads(line)) is None:
            return None
        self._until[asked["trial"]] = asked["until"]
        return Proposal(
            training=TrainingId(asked["trial"]),
            config=Point(asked["params"]),
            epochs_done=asked["epochs_done"],
        )

    def report(self, number: int, metrics: EpochMetrics) -> str | None:
        if metrics.epoch < self._until[number]:
            return None
        self._send({"tell": number, "value": metrics.val_top1})
        return ENDED

    def close(self) -> None:
        """Ends the rival, whose processor time then counts as that of this process's children."""
        self._process.communicate()
        self._errors.close()

    def _send(self, request: dict[str, Any]) -> None:
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._fail()

    def _fail(self) -> None:
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace")[-2000:]
        raise BenchmarkError(f"{' '.join(self._process.args)} ended too early: {said}")


def _domain(distribution: BaseDistribution) -> dict[str, Any]:
    """A range in the words of `apart.lines`."""
    if isinstance(distribution, CategoricalDistribution):
        return {"choices": list(distribution.choices)}
    if isinstance(distribution, IntDistribution | FloatDistribution):
        whole = isinstance(distribution, IntDistribution)
        bounds = {"low": distribution.low, "high": distribution.high}
        return {**bounds, "log": distribution.log, "whole": whole}
    raise TypeError(f"{distribution} is neither a number's range nor a choice.")


def _maker(environment: str, prior: bool = False) -> MakePolicy:
    def make(curves: Curves, rules: Rules, seed: int) -> Policy:
        python = rival_environments.interpreter(environment)
        belief = believed(good, curves, seed) if prior else None
        return Apart(python, f"{environment}_side", curves, seed, belief)

    return make


EVERY: dict[str, tuple[str, MakePolicy]] = {
    "NePS: PriorBand": ("neps", _maker("neps")),
    "NePS: PriorBand, with a prior": ("neps", _maker("neps", prior=True)),
    "DEHB": ("dehb", _maker("dehb")),
    "SMAC: multi-fidelity": ("smac", _maker("smac")),
}
"""The rivals by their names in the table, with their environments."""

POLICIES: dict[str, MakePolicy] = {
    name: make for name, (where, make) in EVERY.items() if rival_environments.is_made(where)
}


def missing() -> list[str]:
    """A sentence for each rival whose environment hasn't been made, with the command for it."""
    return [
        f"{name} needs an environment, which `{rival_environments.command(where)}` makes."
        for name, (where, _) in EVERY.items()
        if not rival_environments.is_made(where)
    ]
