"""No configuration is trained twice: what has been tried, and when nothing new is left to try."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from results.records import StopReason, TrialRecord
from results.records import TrialState as Ended
from trainables.config import TrialConfig

RANDOM_AFTER = 10
"""Duplicates in a row after which chance proposes: a model may insist on what it likes best."""

EXHAUSTED_AFTER = 100
"""Duplicates in a row after which nothing new is expected. Of six configurations the last one is
missed by 90 random proposals with a chance of (5/6)⁹⁰, once in 13 million."""


class Configuration(Protocol):
    """What is tried: a `TrialConfig`, or a point on recorded curves."""

    def to_dict(self) -> dict[str, Any]:
        """The configuration for the records."""


def configuration_key(params: Mapping[str, Any], config: Configuration) -> str:
    """Equal for what trains alike: all of a configuration but its seed.

    How many images go through the network at once counts as proposed: a trial that ran out of
    memory goes on with fewer.
    """
    whole = config.with_defaults() if isinstance(config, TrialConfig) else config
    at_once = params.get("micro_batch_size")
    values = whole.to_dict() | {"seed": None, "micro_batch_size": at_once}
    return json.dumps(values, sort_keys=True)


class TriedConfigurations:
    """The configurations of a study by their `configuration_key`, and how many proposals in a row
    were among them.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._repeats = 0

    @property
    def exhausted(self) -> bool:
        """Whether nothing new is to be expected."""
        return self._repeats >= EXHAUSTED_AFTER

    def add(self, number: int, what: str) -> None:
        """Notes what trial `number` is."""
        self._numbers[what] = number
        self._repeats = 0

    def forget(self, number: int) -> None:
        """Lets the configuration of a trial that failed be proposed again: it gave no result, and
        the machine is at fault more likely.
        """
        self._numbers = {w: n for w, n in self._numbers.items() if n != number}

    def recall(
        self,
        records: Mapping[int, TrialRecord],
        known: Iterable[FrozenTrial],
        restore: Callable[[dict[str, Any]], Configuration],
    ) -> None:
        """Takes over what a search that goes on has tried, and refused since its last trial."""
        for number, record in records.items():
            if record.state is not Ended.FAILED or record.reason is StopReason.MEMORY:
                self.add(number, configuration_key(record.params, restore(record.config)))
        last = max((number for number, record in records.items() if record.config), default=-1)
        later = [t for t in known if t.number > last and t.number not in records]
        self._repeats = sum(trial.state is TrialState.FAIL for trial in later)

    def number_of(self, what: str) -> int | None:
        """The trial that has tried it; `None` where none has."""
        return self._numbers.get(what)

    def count_duplicate(self) -> None:
        """Notes that what was proposed had been tried."""
        self._repeats += 1

    def sampler(self, usual: BaseSampler, number: int) -> BaseSampler:
        """`usual`, or chance after it has proposed nothing new for long."""
        return usual if self._repeats < RANDOM_AFTER else RandomSampler(seed=number)
