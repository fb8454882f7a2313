"""Stores what was measured for a network on this machine, so that each measurement is made only
once.
"""

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from common.files import read_json, write_text_atomically
from search.hardware.machine import Machine, cpu_model
from trainables.config import TrialConfig

DECIDING = ("network", "image_size", "stem", "freeze_depth", "head_width", "optimizer",
            "batch_size", "micro_batch_size", "compile")  # fmt: skip
"""The speed of a training step depends on these fields of the configuration."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """Holds the faster precision, and the training images per second of one trial in each
    precision.
    """

    precision: str
    images_per_s: dict[str, float]

    def sound(self) -> bool:
        """Returns whether the values are plausible: a known precision, and rates that are
        numbers.
        """
        rates = all(isinstance(rate, float) for rate in self.images_per_s.values())
        return self.precision in ("float32", "bfloat16") and rates

    def why(self) -> str:
        """Returns the figures in words, as the reason for the choice of precision."""
        speeds = ", ".join(f"{name} {rate:.0f}" for name, rate in self.images_per_s.items())
        return f"images/s a trial: {speeds}" if speeds else "this GPU supports it"


class CalibrationStore:
    """Stores measurements in a JSON file by their keys. A damaged file counts as empty."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, key: str) -> Measurement | None:
        """Returns the measurement stored under `key`, which comes from `calibration_key`, or
        `None`.
        """
        value = self._read().get(key)
        try:
            found = Measurement(**value) if value else None
            return found if found and found.sound() else None
        except (TypeError, AttributeError):
            return None

    def keep(self, key: str, measured: Measurement) -> None:
        """Adds a measurement to the file. If two processes write at the same time, the last one
        wins.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(
            self._path, json.dumps(self._read() | {key: asdict(measured)}, indent=1)
        )

    def _read(self) -> dict[str, Any]:
        try:
            value = read_json(self._path)
        except (OSError, ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


def calibration_key(config: TrialConfig, threads: int, machine: Machine) -> str:
    """Returns a key of everything that a measurement depends on: the network's work, the threads,
    the hardware, and torch's version.
    """
    parts = [str(getattr(config, name)) for name in DECIDING]
    parts += [str(threads), cpu_model(), *machine.gpus, metadata.version("torch")]
    return f"{config.network}-{sha256('|'.join(parts).encode()).hexdigest()[:12]}"
