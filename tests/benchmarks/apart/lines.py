"""Lets a rival answer a simulated search on stdin and stdout, from an environment of its own.

A side in this folder imports nothing but the standard library, its rival and this file, because
its environment has nothing of ours. Each line is JSON:

    {"space": …, "epochs": 52, "seed": 0, "prior": …}    the task, once; no answer
    {"ask": true}      {"trial": 3, "params": …, "epochs_done": 1, "until": 5}, or null
    {"tell": 3, "value": 0.71}    the value of trial 3 after epoch `until`; no answer

A parameter of the space is `{"choices": […]}` or `{"low": …, "high": …, "log": …, "whole": …}`.
"""

import json
import os
import sys
from collections.abc import Callable, Hashable
from typing import Any, Protocol

Training = tuple[Any, Hashable, dict[str, Any], float]
"""A rival's own job, the key of its configuration, the parameters, and the epoch to train to."""


class Rival(Protocol):
    """One search of a rival, which finds low losses."""

    def ask(self) -> Training | None:
        """The next training, or `None` while there is none."""

    def tell(self, job: Any, loss: float) -> None:
        """Takes the loss of a training that has come to its end."""


class Trials:
    """Numbers a rival's trainings, so that a promoted configuration goes on where it paused.

    A configuration that is asked for again while it trains, or at an epoch that it has passed, is
    trained anew.
    """

    def __init__(self, rival: Rival) -> None:
        self._rival, self._count = rival, 0
        self._paused: dict[Hashable, tuple[int, int]] = {}
        self._jobs: dict[int, Any] = {}

    def ask(self) -> dict[str, Any] | None:
        asked = self._rival.ask()
        if asked is None:
            return None
        job, key, params, until = asked
        last = max(1, int(until))
        trial, done = self._paused.get(key, (self._count, last))
        if done >= last or trial in self._jobs:
            trial, done, self._count = self._count, 0, self._count + 1
        self._paused[key], self._jobs[trial] = (trial, last), job
        return {"trial": trial, "params": params, "epochs_done": done, "until": last}

    def tell(self, trial: int, value: float) -> None:
        self._rival.tell(self._jobs.pop(trial), -value)


def serve(make: Callable[[dict[str, Any]], Rival]) -> None:
    """Answers until stdin ends. What the rival itself prints goes to stderr."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        trials = Trials(make(json.loads(sys.stdin.readline())))
        for line in sys.stdin:
            request = json.loads(line)
            if "tell" in request:
                trials.tell(request["tell"], request["value"])
            else:
                answers.write(json.dumps(trials.ask()) + "\n")
                answers.flush()
