"""Estimates how long an epoch of a configuration takes, by the best of what is known: trained
epochs, else a rate measured on this machine, else a rule of thumb.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from datasets.spec import VAL_FRACTION
from results.records import EpochMetrics
from search.hardware.allocation import Resources
from trainables.catalog import forward_gmacs, frozen_share
from trainables.config import TrialConfig

GMACS_PER_THREAD = 80.0
"""One CPU thread trains at this speed, in 10⁹ multiply-adds a second. It was measured on an AMD
EPYC (Zen 4) at 64 px: ResNet-18 trained 187 images/s in float32 and 310 in bfloat16, ResNet-50 69
and 114.
"""

GMACS_PER_GPU = 10_000.0
"""A current data-centre GPU trains at about this speed with bfloat16, in 10⁹ multiply-adds a
second. This is a rule of thumb: at 64 px, an H200 trained 16,000 with a ResNet-18 and with a
ResNet-50.
"""

COMPILE_S = 2400.0
"""`torch.compile` may add this many seconds to a process's first step. At 64 px a ResNet-50 took
118 s and a ResNet-18 63 s, with one thread of two cores that three processes shared (Intel Xeon,
n = 1 each). The limit is twenty times the longer one, as for the rest of a first epoch.
"""

_EVALUATED = 2 / 3 * VAL_FRACTION / (1 - VAL_FRACTION)
"""After each epoch, val and as many training images are evaluated. An evaluation takes a third of a
training step, so with the usual val both together take this share of the training's time.
"""

_CATALOG = "10⁹ multiply-adds"
"""The work of all networks whose cost is known has this unit, so that one tells of another."""


class Source(StrEnum):
    """Names in words where an estimate comes from, the best source first."""

    TRAINED = "by the epochs trained so far"
    MEASURED = "measured on this machine"
    RULE = "a rule of thumb, not measured"


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochEstimate:
    """Holds the expected seconds of a configuration's epoch, `longest_s` by the slowest of the
    epochs so far, and the source of both.
    """

    epoch_s: float
    longest_s: float
    source: Source


@dataclass(slots=True)
class _Pace:
    """Adds up epochs on one kind of device: their seconds, their work in one unit, and the most
    seconds per unit that one of them took.
    """

    seconds: float = 0.0
    work: float = 0.0
    slowest: float = 0.0

    def add(self, seconds: float, work: float) -> None:
        self.seconds, self.work = self.seconds + seconds, self.work + work
        self.slowest = max(self.slowest, seconds / work)


class TrainingSpeed:
    """Estimates the epochs of one search. Epochs on GPUs tell nothing of those on cores.

    images: the number of training images in an epoch.
    kinds: the resources of trials, by which the rule of thumb goes.
    measurement: a configuration, and the training images per second at which one trial with the
        first of `kinds`, or on cores, was measured; or `None`.
    """

    def __init__(
        self,
        images: int,
        kinds: Sequence[Resources],
        measurement: tuple[TrialConfig, float] | None = None,
    ) -> None:
        self._images = images * (1 + _EVALUATED)
        self._paces: dict[tuple[Source, bool, str], _Pace] = {}
        for kind in kinds:
            epoch_s = self._images / _gmacs_per_s(kind)
            self._add(Source.RULE, kind.gpus, (_CATALOG,), 1.0, epoch_s)
        if measurement:
            gpus, (config, rate) = kinds[0].gpus if kinds else 0.0, measurement
            self._learn(Source.MEASURED, gpus, config, self._images / rate)

    def learn(self, config: TrialConfig, gpus: float, metrics: EpochMetrics) -> None:
        """Takes the time of an epoch of `config`, trained with a share `gpus` of a GPU. From then
        on, only such epochs count, and no rate that was measured before. An epoch that diverged
        doesn't count, because it ended early.
        """
        if metrics.train_loss is not None:
            self._learn(Source.TRAINED, gpus, config, metrics.wall_s)

    def estimate(self, config: TrialConfig, gpus: float = 0.0) -> EpochEstimate | None:
        """Returns the estimate for an epoch of `config` with a share `gpus` of a GPU, in proportion
        to the work that its images take, or `None` where nothing is known of its network. Epochs of
        the same network tell more than those of others, whose multiply-adds take other times.
        """
        unit, amount = _work(config)
        for source in Source:
            for of in (config.network, unit):
                if pace := self._paces.get((source, gpus > 0, of)):
                    mean_s, slowest_s = amount * pace.seconds / pace.work, amount * pace.slowest
                    return EpochEstimate(epoch_s=mean_s, longest_s=slowest_s, source=source)
        return None

    def _learn(self, source: Source, gpus: float, config: TrialConfig, epoch_s: float) -> None:
        unit, amount = _work(config)
        self._add(source, gpus, {unit, config.network}, amount, epoch_s)

    def _add(
        self, source: Source, gpus: float, of: Iterable[str], amount: float, epoch_s: float
    ) -> None:
        """Adds an epoch of `epoch_s` seconds, whose images take `amount` of work each, to what is
        known `of` a network and of all whose work has the same unit.
        """
        for each in of:
            self._paces.setdefault((source, gpus > 0, each), _Pace()).add(epoch_s, amount)


def _work(config: TrialConfig) -> tuple[str, float]:
    """Returns the unit and the amount of the work of one image in a training step.

    A backward pass costs twice its forward pass; a frozen stage has none. Of a library's network
    only the size of its images is known: its work is in pixels, a unit of its own.
    """
    cost = forward_gmacs(config.network, config.image_size, config.stem)
    if cost is None:
        return config.network, float(config.image_size**2)
    frozen = frozen_share(config.network, config.stem, config.freeze_depth)
    return _CATALOG, cost * (3 - 2 * frozen)


def _gmacs_per_s(kind: Resources) -> float:
    """Returns the training speed of one trial with these resources by the rule of thumb, in 10⁹
    multiply-adds a second.
    """
    return GMACS_PER_GPU * kind.gpus or GMACS_PER_THREAD * kind.threads
