"""Steers simulated searches: what a user asks at a moment of the simulated clock is carried out as
in a real search.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.storages import InMemoryStorage

from common.errors import UserError
from common.text import did_you_mean
from results.analysis.searched_ranges import describe_range
from results.side_store import SteeringAction, SteeringRecord
from search.early_stopping.decision import Rules
from search.simulation.points import Point, PointProposer
from search.simulation.recorded_curves import Curves
from search.study.budget import Budget, GpuMeter
from search.study.optuna_patches import contains
from search.study.steering.commands import SteeringError
from search.study.steering.steered_study import SteeredStudy
from search.study.steering.steering import Steering
from search.study.store import MemoryStore
from trainables.field_values import read_text


class SteeredSearch:
    """Holds a study on recorded curves that a user steers. `Steering`, the study and the budget are
    those of a real search. `now` is the simulated moment.

    commands: (simulated seconds, words) of each command, in the order of time.
    trials: the number of trials before anybody changes it.
    """

    def __init__(
        self,
        curves: Curves,
        rules: Rules,
        seed: int,
        *,
        workers: int,
        trials: int,
        commands: Sequence[tuple[float, str]],
    ) -> None:
        self.now, self._commands = 0.0, list(commands)
        self.answers: list[str] = []
        self.records: list[SteeringRecord] = []
        budget = Budget(
            time_s=None,
            time_left=lambda: math.inf,
            gpu_s=None,
            meter=GpuMeter(clock=lambda: self.now),
            workers=workers,
        )
        self.study: SteeredStudy[Point] = SteeredStudy(
            proposer=PointProposer(curves, seed),
            rules=rules,
            trials=trials,
            store=MemoryStore(),
            storage=InMemoryStorage(),
            time_left=budget.left,
        )
        self._steering = Steering(
            self.study,
            budget,
            lambda named, base: make_point(curves, named, base),
            stamp=self._stamp,
            keep=self.records.append,
            allocated=workers,
            used_s=lambda: self.now,
        )

    @property
    def next_at(self) -> float:
        """Returns when the next command comes, or NaN, which no moment reaches, after the last."""
        return self._commands[0][0] if self._commands else math.nan

    @property
    def at_once(self) -> int:
        """Returns how many trials may run at once."""
        return self._steering.at_once

    def carry_out(self, now: float) -> float:
        """Carries out the next command, keeps the answer, and returns the moment of it, which is
        `now` for one that should have come before.
        """
        at, words = self._commands.pop(0)
        self.now = max(at, now)
        try:
            self.answers.append(self._steering.carry_out(words.split()).answer)
        except UserError as error:
            self.answers.append(str(error))
        return self.now

    def _stamp(self, action: SteeringAction, words: str) -> SteeringRecord:
        return SteeringRecord(
            action=action, words=words, answer="", at="", session=1, session_s=self.now
        )


def make_point(
    curves: Curves, named: Mapping[str, str], base: Mapping[str, Any]
) -> tuple[dict[str, Any], Point]:
    """Returns (parameters, configuration) on the curves with the values `named`, as texts, and
    otherwise those of `base`. Raises `SteeringError` with a sentence for each name that the curves
    lack, and for each value outside of its range.
    """
    faults, params = [], dict(base)
    for name, text in named.items():
        if name not in curves.space:
            known = ", ".join(curves.space)
            hint = did_you_mean(name, curves.space, otherwise=f"they have {known}.")
            faults.append(f"{name} is not a parameter of these curves; {hint}")
            continue
        params[name] = read_text(name, text)
        if not contains(curves.space[name], params[name]):
            faults.append(
                f"{name} must lie in its range of {describe_range(curves.space[name])}, but got "
                f"{text}; name another value."
            )
    if faults:
        raise SteeringError(faults)
    kept = {
        name: value
        for name, value in params.items()
        if (owner := curves.conditions.get(name)) is None or params.get(owner[0]) == owner[1]
    }
    return kept, Point(kept)
