"""What was measured of a network on this machine, kept so that it is measured once."""

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
"""The fields that a training step's speed depends on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """The faster precision, and training images a second of one trial in each."""

    precision: str
    images_per_s: dict[str, float]

    def sound(self) -> bool:
        """Whether it can have been measured."""
        rates = all(isinstance(rate, float) for rate in self.images_per_s.values())
        return self.precision in ("float32", "bfloat16") and rates

    def why(self) -> str:
        """The figures, in words."""
        speeds = ", ".join(f"{name} {rate:.0f}" for name, rate in self.images_per_s.items())
        return f"images/s a trial: {speeds}" if speeds else "this GPU supports it"


class CalibrationStore:
    """A JSON file of measurements, by what they depend on. A damaged file counts as empty."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, key: str) -> Measurement | None:
        """What was measured before under `calibration_key`."""
        value = self._read().get(key)
        try:
            found = Measurement(**value) if value else None
            return found if found and found.sound() else None
        except (TypeError, AttributeError):
            return None

    def keep(self, key: str, measured: Measurement) -> None:
        """Adds a measurement; the last writer wins."""
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
    """What a measurement depends on: the network's work, the machine, torch's version."""
    parts = [str(getattr(config, name)) for name in DECIDING]
    parts += [str(threads), cpu_model(), *machine.gpus, metadata.version("torch")]
    return f"{config.network}-{sha256('|'.join(parts).encode()).hexdigest()[:12]}"
