"""Chooses how many trials a GPU trains at the same time, by how fast they train together.

Memory tells how many fit. Beyond some number they only take turns, and each further one takes
memory, a core, and time from all decisions. Nothing here has been measured on a GPU yet.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

TOLERANCE = 0.05
"""Fewer trials are chosen where they train no more than this share slower than the most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Packing:
    """Holds the training images per second of 1, 2, 3 … trials on one GPU, together.

    mps: whether NVIDIA's Multi-Process Service lets their kernels run at the same time.
    ended: why no more trials were tried, in words.
    """

    images_per_s: list[float]
    mps: bool
    ended: str = ""

    @property
    def trials(self) -> int:
        """Returns the smallest number of trials that together train at most `TOLERANCE` slower than
        the best number.
        """
        enough = (1 - TOLERANCE) * max(self.images_per_s, default=0.0)
        return next((k for k, rate in enumerate(self.images_per_s, 1) if rate >= enough), 1)

    @property
    def rate(self) -> float | None:
        """Returns the images per second of each of so many trials, or `None` without a rate."""
        return self.images_per_s[self.trials - 1] / self.trials if self.images_per_s else None

    def sound(self) -> bool:
        """Returns whether there are rates, all of them numbers above 0, and no trial failed to
        join: as many fit by memory as are tried, so that what failed may not fail again.
        """
        rates = self.images_per_s
        return (bool(rates) and not self.ended) and all(
            isinstance(rate, float) and 0 < rate < float("inf") for rate in rates
        )

    def describe(self) -> str:
        """Returns the number of trials, and the rates that it was chosen by, in words."""
        first = self.images_per_s[0] if self.images_per_s else 1.0
        rates = (f"{k} → {100 * r / first:.0f} %" for k, r in enumerate(self.images_per_s, 1))
        shown = f", by images/s together: {', '.join(rates)} of {first:,.0f}"
        trials = "trial" if self.trials == 1 else "trials"
        return (
            f"{self.trials} {trials} a GPU{shown if self.images_per_s else ''}"
            f"{' under MPS' if self.mps else ''}{f'; {self.ended}' if self.ended else ''}"
        )


class JoinError(Exception):
    """Reports that one more trial couldn't join, or that one has ended; the text is the reason."""

    # No `UserError`: fewer trials are tried then, and the search goes on.


class Trainings(Protocol):
    """Trains on one GPU for a measurement; `TrainingProcesses` fulfils this protocol."""

    def join(self) -> None:
        """Adds one more training, and returns when it trains. Raises `JoinError`."""

    def images_per_s(self) -> float:
        """Returns the images per second of all trainings together. Raises `JoinError`."""


def find_packing(trainings: Trainings, most: int, *, mps: bool) -> Packing:
    """Returns the images per second of 1, 2, 3 … trainings, of which one after the other joins.

    No more than `most` are tried, and none after two that together gained less than `TOLERANCE`.
    """
    rates: list[float] = []
    ended = ""
    while len(rates) < most and not _is_flat(rates):
        try:
            trainings.join()
            rates.append(trainings.images_per_s())
        except JoinError as error:
            ended = f"{len(rates) + 1} didn't train ({error})"
            break
    return Packing(images_per_s=rates, mps=mps, ended=ended)


def _is_flat(rates: list[float]) -> bool:
    return len(rates) > 2 and max(rates[-2:]) < (1 + TOLERANCE) * max(rates[:-2])


def serves_mps(environment: Mapping[str, str] = os.environ) -> bool:
    """Returns whether the daemon of NVIDIA's MPS has left its pipe where CUDA's processes look for
    it; they join it by themselves.
    """
    place = environment.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")  # noqa: S108  # its default
    return (Path(place) / "control").exists()
