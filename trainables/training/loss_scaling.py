"""Scales the loss of a training in float16, whose gradients would otherwise round to 0."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

HOPELESS = 40
"""A training has diverged if it skips this many steps in a row.

Each skipped step halves the scale. After so many, the scale is 2⁻⁴⁰ of what it was, and its
gradients were still infinite.
"""


class LossScaler:
    """A `LossScaler` applies torch's `GradScaler` to one training, and counts skipped steps.

    The scale begins at 65,536. A step whose scaled gradients overflow leaves the weights as they
    are and halves the scale; this is no divergence. After 2,000 steps without overflow, the scale
    doubles. A loss that isn't finite itself is a divergence, because the scale has no part in the
    forward pass. The optimizer's kernels must be fused, so that the host never waits for a GPU to
    learn whether a step was skipped.
    """

    def __init__(self, device: torch.device) -> None:
        self._scaler = torch.amp.GradScaler(device.type)
        self._skipped, self._in_a_row = torch.zeros(2, device=device).unbind()

    def scale(self, value: Tensor) -> Tensor:
        """Returns a float32 tensor multiplied by the present scale."""
        scaled: Tensor = self._scaler.scale(value)
        return scaled

    def step(self, optimizer: Optimizer) -> Tensor:
        """Takes the optimizer's step, or skips it if a gradient overflowed, and adapts the scale.

        The optimizer's gradients must be of losses that `scale` scaled. Returns a number to add to
        the step's loss: NaN if the training has diverged by `HOPELESS`, else 0.
        """
        self._scaler.step(optimizer)
        found = self._scaler._found_inf_per_device(optimizer).values()
        skipped = torch.stack(list(found)).amax()
        self._scaler.update()
        self._skipped += skipped
        self._in_a_row.add_(1).mul_(skipped)
        return torch.zeros_like(skipped).masked_fill_(self._in_a_row >= HOPELESS, torch.nan)

    def take_skipped(self) -> int:
        """Returns the number of skipped steps since the last call; this waits for a GPU."""
        skipped = int(self._skipped)
        self._skipped.zero_()
        return skipped

    def state_dict(self) -> dict[str, Any]:
        """Returns the scale and the counts of steps, for a checkpoint; this waits for a GPU."""
        skipped, in_a_row = float(self._skipped), float(self._in_a_row)
        return self._scaler.state_dict() | {"skipped": skipped, "in_a_row": in_a_row}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the scaler in place from a result of `state_dict`."""
        self._scaler.load_state_dict(state)
        self._skipped.fill_(state["skipped"])
        self._in_a_row.fill_(state["in_a_row"])
