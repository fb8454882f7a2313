"""Chooses how many trials a GPU trains at the same time, by how fast they train together.

Memory tells how many fit. Beyond some number they only take turns, and each further one takes
memory, a core, and time from all decisions. The measurement itself hasn't run on a GPU yet.
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
    ended: why no more trials were tried, in words; empty where none has failed to join.
    lacked_memory: whether that was for want of memory, which may be free the next time.
    """

    images_per_s: list[float]
    mps: bool
    ended: str = ""
    lacked_memory: bool = False

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
        """Returns whether the rates are numbers above 0, there are some unless the first trial
        failed to join, and none lacked memory: as many fit by memory as are tried, so that the same
        number may fit the next time. Any other failure, such as a hang, would only cost its time
        again.
        """
        rates = self.images_per_s
        return (bool(rates or self.ended) and not self.lacked_memory) and all(
            isinstance(rate, float) and 0 < rate < float("inf") for rate in rates
        )

    def describe(self) -> str:
        """Returns the number of trials, and the rates that it was chosen by, in words."""
        first = self.images_per_s[0] if self.images_per_s else 1.0
        rates = (f"{k} → {100 * r / first:.0f} %" for k, r in enumerate(self.images_per_s, 1))
        shown = f", by images/s together: {', '.join(rates)} of {first:,.0f}"
        trials = "trial" if self.trials == 1 else "trials"
        ended = f"; {self.ended}" if self.ended else ""
        if ended and not self.lacked_memory:
            ended += ", which --measure tries anew"
        return (
            f"{self.trials} {trials} a GPU{shown if self.images_per_s else ''}"
            f"{' under MPS' if self.mps else ''}{ended}"
        )


class JoinError(Exception):
    """Reports that one more trial couldn't join, or that one has ended; the text is the reason."""

    # No `UserError`: fewer trials are tried then, and the search goes on.


class NoMemoryError(JoinError):
    """Reports that one more trial couldn't join for want of memory."""


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
    ended, lacked_memory = "", False
    while len(rates) < most and not _is_flat(rates):
        try:
            trainings.join()
            rates.append(trainings.images_per_s())
        except JoinError as error:
            ended = f"{len(rates) + 1} didn't train ({error})"
            lacked_memory = isinstance(error, NoMemoryError)
            break
    return Packing(images_per_s=rates, mps=mps, ended=ended, lacked_memory=lacked_memory)


def _is_flat(rates: list[float]) -> bool:
    return len(rates) > 2 and max(rates[-2:]) < (1 + TOLERANCE) * max(rates[:-2])


def serves_mps(environment: Mapping[str, str] = os.environ) -> bool:
    """Returns whether the daemon of NVIDIA's MPS has left its pipe where CUDA's processes look for
    it; they join it by themselves.
    """
    place = environment.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")  # noqa: S108  # its default
    return (Path(place) / "control").exists()
