"""Describes an epoch: by what training and evaluation measure, for its record, and where it is
trained in part, by what it needs to go on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from results.records import EpochMetrics
from trainables.training.evaluate import Evaluation, finite_or_none


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedEpoch:
    """A `TrainedEpoch` holds what training for one epoch has measured.

    loss: the mean over the steps. lr: the last step's learning rate. images: how many were trained.
    first_step_at: when the first batch was ready, on the clock of `time.perf_counter`.
    waited_s: how many seconds the loop waited for that batch and all others.
    skipped_steps: how many steps left the weights as they were, see `LossScaler`.
    """

    loss: float
    lr: float
    images: int
    first_step_at: float
    waited_s: float
    skipped_steps: int = 0


def make_metrics(
    epoch: int,
    trained: TrainedEpoch,
    seen: Evaluation,
    val: Evaluation | None,
    *,
    start_s: float,
    train_s: float,
    wall_s: float,
    peak_memory_bytes: int,
) -> EpochMetrics:
    """Returns the record of an epoch. `seen` is the evaluation on clean training images, `val` that
    on val, `None` where there is no val.
    """
    return EpochMetrics(
        epoch=epoch,
        train_loss=finite_or_none(trained.loss),
        train_top1=seen.top1,
        val_loss=val.finite_loss if val else None,
        val_top1=val.top1 if val else None,
        val_top5=val.top5 if val else None,
        val_probability=val.probability if val else None,
        gap=seen.top1 - val.top1 if val else None,
        lr=trained.lr,
        images_per_s=trained.images / train_s,
        train_s=train_s,
        wall_s=wall_s,
        peak_memory_bytes=peak_memory_bytes,
        start_s=start_s,
        loading_s=trained.waited_s,
        skipped_steps=trained.skipped_steps,
    )


class PauseError(Exception):
    """Ends a training that its caller has asked to stop, once what it has done is kept."""

    # No `UserError`: the caller knows why the training stops, and has the sentence for it.


@dataclass(frozen=True, kw_only=True, slots=True)
class PartialEpoch:
    """A `PartialEpoch` holds what an epoch needs to go on, besides the state of network,
    optimizer and averages: on a CPU, to the numbers of an undisturbed one.

    step: how many steps of the epoch are done, at least 1 and fewer than all.
    loss: the sum of their losses.
    generators: the states of torch's global generators after them, of the CPU and of the GPU that
    trains, if there is one.
    """

    step: int
    loss: float
    generators: tuple[Tensor, ...]

    @classmethod
    def after(cls, step: int, loss: float, device: torch.device) -> Self:
        """Returns the present state of an epoch, after `step` steps."""
        gpu = (torch.cuda.get_rng_state(device),) if device.type == "cuda" else ()
        return cls(step=step, loss=loss, generators=(torch.get_rng_state(), *gpu))

    def restore_generators(self, device: torch.device) -> None:
        """Gives torch's global generators the states that are held."""
        torch.set_rng_state(self.generators[0])
        if device.type == "cuda" and len(self.generators) > 1:
            torch.cuda.set_rng_state(self.generators[1], device)

    def to_state(self) -> dict[str, Any]:
        """Returns plain values and tensors, for a checkpoint."""
        return {"step": self.step, "loss": self.loss, "generators": list(self.generators)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the partial epoch of a result of `to_state`.

        Raises `KeyError`, `TypeError` or `ValueError` for something else.
        """
        generators = tuple(state["generators"])
        if not generators or not all(isinstance(each, Tensor) for each in generators):
            raise TypeError("generators must be tensors")
        step = int(state["step"])
        if step < 1:
            raise ValueError(f"step must be ≥ 1, but is {step}")
        return cls(step=step, loss=float(state["loss"]), generators=generators)


def every(seconds: float, ask: Callable[[], bool]) -> Callable[[], bool]:
    """Returns a function that calls `ask` at most every so many seconds, and returns its last
    answer.
    """
    asked_at, answer = -seconds, False

    def asked() -> bool:
        nonlocal asked_at, answer
        now = time.monotonic()
        if now - asked_at >= seconds:
            asked_at, answer = now, ask()
        return answer

    return asked
