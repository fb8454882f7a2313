"""Stores what was measured for a network on this machine, so that each measurement is made only
once.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from common.files import read_json, write_text_atomically
from search.hardware.gpus import Gpu
from search.hardware.machine import Machine, cpu_model
from search.hardware.packing import Packing
from search.preflight import versions
from trainables.config import PRECISIONS, TrialConfig
from trainables.profiling.capture_gain import CaptureGain

M = TypeVar("M", "Measurement", Packing, CaptureGain)

SCHEMA_VERSION = 4
"""Measurements of another version than this one, whose method or format differs, don't count."""

PACKAGES = ("torch", "torchvision", "timm")
"""The speed of a training step depends on the versions of these packages."""

DECIDING = ("network", "image_size", "stem", "freeze_depth", "head_width", "optimizer",
            "batch_size", "micro_batch_size", "compile", "precision")  # fmt: skip
"""The speed of a training step depends on these fields of the configuration. Where the precision
is `auto`, both precisions are measured.
"""


MEASURABLE = frozenset(PRECISIONS) - {"auto"}
"""A measurement is of these precisions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """Holds the precision to train in, and the training images per second of one trial in each
    measured precision.
    """

    precision: str
    images_per_s: dict[str, float]

    @property
    def rate(self) -> float | None:
        """Returns the training images per second in the precision to train in, or `None` where it
        wasn't measured.
        """
        return self.images_per_s.get(self.precision)

    def sound(self) -> bool:
        """Returns whether the values are plausible: known precisions, that of the training among
        them, and rates that are numbers above 0. Older versions measured no rate on a GPU.
        """
        rates = self.images_per_s
        return self.precision in rates and all(
            name in MEASURABLE and isinstance(rate, float) and 0 < rate < math.inf
            for name, rate in rates.items()
        )

    def describe_rates(self) -> str:
        """Returns the rates in words. The text is empty where none was measured."""
        rates = ", ".join(f"{name} {rate:.0f}" for name, rate in self.images_per_s.items())
        return f"images/s a trial: {rates}" if rates else ""


class CalibrationStore:
    """Stores measurements in a JSON file by their keys, with the versions that they were made with.

    A damaged file counts as empty, and so does one of other versions, which the next measurement
    replaces.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._versions = {"schema": SCHEMA_VERSION, **versions(list(PACKAGES))}

    def find(self, key: str) -> Measurement | None:
        """Returns the measurement stored under `key`, which comes from `calibration_key`, or
        `None`.
        """
        return self._find(key, Measurement)

    def find_packing(self, key: str) -> Packing | None:
        """Returns the packing stored under `key`, which comes from `packing_key`, or `None`."""
        return self._find(key, Packing)

    def find_gain(self, key: str) -> CaptureGain | None:
        """Returns the gain stored under `key`, which comes from `capture_key`, or `None`."""
        return self._find(key, CaptureGain)

    def _find(self, key: str, kind: type[M]) -> M | None:
        value = self._read().get(key)
        try:
            found = kind(**value) if value else None
            return found if found and found.sound() else None
        except (TypeError, AttributeError):
            return None

    def keep(self, key: str, measurement: Measurement | Packing | CaptureGain) -> None:
        """Adds a measurement to the file. If two processes write at the same time, the last one
        wins.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        measurements = self._read() | {key: asdict(measurement)}
        value = {"versions": self._versions, "measurements": measurements}
        write_text_atomically(self._path, json.dumps(value, indent=1))

    def _read(self) -> dict[str, Any]:
        try:
            value = read_json(self._path)
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(value, dict) or value.get("versions") != self._versions:
            return {}
        found = value.get("measurements")
        return found if isinstance(found, dict) else {}


def calibration_key(config: TrialConfig, threads: int, gpus: Sequence[Gpu]) -> str:
    """Returns a key of what a measurement depends on besides versions: the network's work, the
    hardware, and the threads of a trial on cores.

    gpus: the GPUs that trials train on; none where they train on cores.
    """
    where = "gpu" if gpus else str(threads)  # threads don't count on a GPU
    parts = [where, cpu_model(), *(gpu.name for gpu in gpus)]
    return f"{config.network}-{_hash_work(config, parts)}"


def capture_key(config: TrialConfig, gpus: Sequence[Gpu]) -> str:
    """Returns a key of what a `CaptureGain` depends on besides versions. `config` has the precision
    of the trials.
    """
    augmentation = [
        str(getattr(config, name)) for name in ("policy", "mixup_alpha", "cutmix_alpha")
    ]
    parts = [*augmentation, str(config.ema > 0), cpu_model(), *(gpu.name for gpu in gpus)]
    return f"capture-{config.network}-{_hash_work(config, parts)}"


def packing_key(
    config: TrialConfig, most: int, machine: Machine, *, mps: bool, captured: bool
) -> str:
    """Returns a key of what the `Packing` of up to `most` trials depends on besides versions.
    `config` has the precision of the trials.
    """
    gpus = (gpu.name for gpu in machine.gpus)
    parts = [
        str(most),
        str(config.ema > 0),
        str(mps),
        str(captured),
        str(machine.cpus),
        cpu_model(),
        *gpus,
    ]
    return f"packing-{config.network}-{_hash_work(config, parts)}"


def _hash_work(config: TrialConfig, parts: Sequence[str]) -> str:
    """Returns a hash of a training step's work, and of `parts`."""
    work = [str(getattr(config, name)) for name in DECIDING]
    work += ["deterministic"] if config.deterministic else []
    return sha256("|".join([*work, *parts]).encode()).hexdigest()[:12]
