"""Describes an epoch that is trained in part, so that it can be saved and continued."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


class PauseError(Exception):
    """Ends a training that its caller has asked to stop, once its state is saved."""

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
