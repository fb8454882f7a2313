"""Averages the weights of a training exponentially; the average is evaluated and saved."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from trainables.models.network import Network


class WeightAverage:
    """A `WeightAverage` averages the trained stages of a network, step by step.

    After each step, every averaged tensor a becomes d·a + (1 − d)·w, where w is the network's
    tensor and d = min(decay, (1 + t) / (10 + t)) after t earlier steps. The growing d is
    TensorFlow's; it lets short trainings forget where they began. BatchNorm's statistics are
    averaged too, and its counters stay the network's; timm's `ModelEmaV3` does the same, while the
    default of torch's `AveragedModel` doesn't.

    The average takes the memory of the trained stages once more, and a swap for a moment once
    again; frozen stages aren't copied. All tensors are updated and swapped by a few operations
    together, because a GPU takes longer to start an operation than to average a small tensor. An
    update of a ResNet-18 takes 7 ms on one Zen 4 thread, less than 2 % of a step of 64 images at 64
    px.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self._decay, self._steps = decay, 0
        self._state = network.trained_state()  # these tensors share the network's memory
        floats = {name: t for name, t in self._state.items() if t.is_floating_point()}
        self._average = {name: tensor.clone() for name, tensor in floats.items()}
        self._weights, self._averages = list(floats.values()), list(self._average.values())

    @torch.no_grad()
    def update(self) -> None:
        """Adds the network's present weights to the average; training calls this after each
        step.
        """
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        self._steps += 1

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the network's weights and the average."""
        trained = [torch.empty_like(tensor) for tensor in self._weights]
        torch._foreach_copy_(trained, self._weights)
        torch._foreach_copy_(self._weights, self._averages)
        torch._foreach_copy_(self._averages, trained)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Gives the network the averaged weights while the block runs, and its own afterwards."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def state_dict(self) -> dict[str, Any]:
        """Returns the average and the number of steps, for a checkpoint. Tensors aren't copied."""
        return {"steps": self._steps, "average": self._state | self._average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the average in place from a result of `state_dict`."""
        self._steps = state["steps"]
        for name, tensor in self._average.items():
            tensor.copy_(state["average"][name])
