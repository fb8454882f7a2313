"""Prevents that a configuration is trained twice, and recognises when no new one is left."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from results.records import StopReason, TrialRecord
from results.records import TrialState as Ended
from trainables.config import TrialConfig

RANDOM_AFTER = 10
"""After this many duplicates in a row, configurations are random, because a model may insist on the
ones that it considers best.
"""

EXHAUSTED_AFTER = 100
"""After this many duplicates in a row, nothing new is expected. Of six configurations the last one
is missed by 90 random proposals with a probability of (5/6)⁹⁰, once in 13 million.
"""


class Configuration(Protocol):
    """Describes what a trial tries: a `TrialConfig`, or a point on recorded curves."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the configuration for the records."""


def configuration_key(params: Mapping[str, Any], config: Configuration) -> str:
    """Returns a key that is equal for configurations that train alike: all of one but its seed.

    The number of images that pass through the network at once counts as it was proposed, because a
    trial that ran out of memory continues with fewer.
    """
    whole = config.with_defaults() if isinstance(config, TrialConfig) else config
    at_once = params.get("micro_batch_size")
    values = whole.to_dict() | {"seed": None, "micro_batch_size": at_once}
    return json.dumps(values, sort_keys=True)


class TriedConfigurations:
    """Holds the configurations of a study by their `configuration_key`, and counts the proposals in
    a row that were among them.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._repeats = 0

    @property
    def exhausted(self) -> bool:
        """Returns whether no new configuration is to be expected."""
        return self._repeats >= EXHAUSTED_AFTER

    def add(self, number: int, key: str) -> None:
        """Adds the configuration of trial `number`."""
        self._numbers[key] = number
        self._repeats = 0

    def forget(self, number: int) -> None:
        """Removes the configuration of a trial that failed, so that it can be proposed again: the
        trial has no result, and the machine is more likely at fault.
        """
        self._numbers = {key: n for key, n in self._numbers.items() if n != number}

    def recall(
        self,
        records: Mapping[int, TrialRecord],
        known: Iterable[FrozenTrial],
        restore: Callable[[dict[str, Any]], Configuration],
    ) -> None:
        """Restores the configurations that a resumed search has tried, and the number of those that
        it has refused since its last trial.
        """
        for number, record in records.items():
            if record.state is not Ended.FAILED or record.reason is StopReason.MEMORY:
                self.add(number, configuration_key(record.params, restore(record.config)))
        last = max((number for number, record in records.items() if record.config), default=-1)
        later = [t for t in known if t.number > last and t.number not in records]
        self._repeats = sum(trial.state is TrialState.FAIL for trial in later)

    def number_of(self, key: str) -> int | None:
        """Returns the trial that has tried a configuration, or `None` where none has."""
        return self._numbers.get(key)

    def count_duplicate(self) -> None:
        """Counts a proposal whose configuration had been tried already."""
        self._repeats += 1

    def sampler(self, usual: BaseSampler, number: int) -> BaseSampler:
        """Returns `usual`, or a random sampler after `RANDOM_AFTER` duplicates in a row."""
        return usual if self._repeats < RANDOM_AFTER else RandomSampler(seed=number)
