"""Which trainings a table of recorded curves holds: its rows, their seeds, and their fidelities.

All of it follows from the space and the row's number, so that a table is the same whoever records
which part of it, and whenever.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from optuna.distributions import BaseDistribution

from search.early_stopping.asha import default_grace, rung_epochs
from search.planning.screening import shorten
from search.samplers.random_configs import RandomConfiguration
from search.samplers.source import ConfigurationSource
from search.space import Space
from search.study.duplicates import configuration_key
from search.study.proposer import Proposer
from trainables.config import TrialConfig

SEED = 20_261
SEEDS = (0, 1, 2)
"""`TrialConfig.seed` of a training and, for the rows with repeats, of its repetitions."""

REPEATED_EACH = 10
"""Of so many rows in a row one is trained with every seed, which one by chance."""

FACTOR = 3
"""Between two rungs of ASHA, and between two lengths of shortened schedules."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One configuration of a table.

    number: its place, from 0, which is the baseline's. origin: `baseline`, `search` (random as a
    search draws its first trials, with some of the baseline's values kept) or `uniform`.
    distributions: of its parameters, as the space asked for them. repeated: whether it is trained
    with all of `SEEDS`, or with the first alone.
    """

    number: int
    origin: str
    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    config: TrialConfig
    repeated: bool

    @property
    def seeds(self) -> Sequence[int]:
        """Every seed that the row is trained with."""
        return SEEDS if self.repeated else SEEDS[:1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fidelity:
    """How much of a training is done.

    epochs: a share of the configuration's own; the schedule is laid out over what is left of it,
    and anneals to its own end. images: a share of the training images of each class. size: a
    factor of the input's side.
    """

    name: str
    epochs: float = 1.0
    images: float = 1.0
    size: float = 1.0

    def of(self, config: TrialConfig) -> TrialConfig:
        """The configuration at this fidelity; what counts in epochs shrinks with them."""
        return shorten(config, max(1, round(self.epochs * config.epochs)), self.size)


FIDELITIES = (
    Fidelity(name="full"),
    Fidelity(name="third", epochs=1 / 3),
    Fidelity(name="ninth", epochs=1 / 9),
    Fidelity(name="quarter_images", images=1 / 4),
    Fidelity(name="half_size", size=1 / 2),
    Fidelity(name="third_quarter_half", epochs=1 / 3, images=1 / 4, size=1 / 2),
    Fidelity(name="ninth_quarter_half", epochs=1 / 9, images=1 / 4, size=1 / 2),
)
"""What each configuration is trained as; rungs with cool-down branches belong to the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One training to record."""

    row: Row
    seed: int
    fidelity: Fidelity

    @property
    def key(self) -> tuple[int, int, str]:
        """(row, seed, fidelity), by which it is known on disk."""
        return self.row.number, self.seed, self.fidelity.name

    @property
    def config(self) -> TrialConfig:
        """What is trained."""
        return self.fidelity.of(self.row.config).but(seed=self.seed)


def rungs(epochs: int) -> tuple[int, ...]:
    """The epochs at which a search compares trials by default, below the last one."""
    return rung_epochs(grace=default_grace(epochs), factor=FACTOR, epochs=epochs)


def cool_down_epochs(rung: int) -> int:
    """The length of the branch at a rung: a fifth of what was trained before, one at least.

    Hägele et al. 2024 (arXiv:2405.18392) find a tenth to a fifth enough for most of the gain.
    """
    return max(1, round(rung / 5))


def rows(space: Space, fixed: Mapping[str, Any], at_most: Mapping[str, float]) -> Iterator[Row]:
    """The table's rows, without end: of each two after the baseline one is drawn as a search does.

    fixed: fields of `TrialConfig` that are the same in all rows. at_most: by parameter, the
    highest value that is drawn. No configuration comes twice. Raises `ConfigError`.
    """
    proposer = Proposer(space, fixed, SEED)
    baseline = proposer.baseline_params()
    seen: set[str] = set()
    for number in itertools.count():
        rng = Random(f"{SEED} {number}")
        block = Random(f"{SEED} repeats {number // REPEATED_EACH}")
        repeated = number == 0 or number % REPEATED_EACH == block.randrange(REPEATED_EACH)
        origin = _origin(number)
        while True:
            drawing = _drawn(space, proposer, origin, baseline, at_most, rng)
            _, config = proposer.nearest(drawing.params)
            what = configuration_key(drawing.params, config)
            if what not in seen:
                break
        seen.add(what)
        yield Row(
            number=number,
            origin=origin,
            params={name: getattr(config, name) for name in drawing.params},
            distributions=drawing.distributions,
            config=config,
            repeated=repeated,
        )


def _origin(number: int) -> str:
    """Rows 1 and 2, 3 and 4 … are one of each kind, in an order by chance."""
    if number == 0:
        return "baseline"
    first = Random(f"{SEED} pair {(number - 1) // 2}").random() < 0.5
    return "search" if first == bool(number % 2) else "uniform"


def _drawn(
    space: Space,
    proposer: Proposer,
    origin: str,
    baseline: Mapping[str, Any],
    at_most: Mapping[str, float],
    rng: Random,
) -> RandomConfiguration:
    def ask(drawing: RandomConfiguration) -> None:
        space.suggest(_AtMost(drawing, proposer.fixed, at_most))  # type: ignore[arg-type]

    if origin == "search":
        return ConfigurationSource(ask, baseline).draw(rng)
    drawing = RandomConfiguration(rng, baseline, 1.0 if origin == "baseline" else 0.0)
    ask(drawing)
    return drawing


class _AtMost:
    """A drawing whose ranges end at given values, and that asks nothing for fixed parameters."""

    def __init__(
        self, drawing: RandomConfiguration, fixed: Mapping[str, Any], at_most: Mapping[str, float]
    ) -> None:
        self._drawing, self._fixed, self._at_most = drawing, fixed, at_most

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name in self._fixed:
            return self._fixed[name]
        limit = self._at_most.get(name)
        few = [choice for choice in choices if limit is None or choice <= limit]
        return self._drawing.suggest_categorical(name, few)

    def suggest_int(self, name: str, low: int, high: int, **how: Any) -> Any:
        if name in self._fixed:
            return self._fixed[name]
        return self._drawing.suggest_int(name, low, min(high, int(self._limit(name, high))), **how)

    def suggest_float(self, name: str, low: float, high: float, **how: Any) -> Any:
        if name in self._fixed:
            return self._fixed[name]
        return self._drawing.suggest_float(name, low, min(high, self._limit(name, high)), **how)

    def _limit(self, name: str, high: float) -> float:
        return self._at_most.get(name, high)
