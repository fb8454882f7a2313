"""Weights the classes in the loss: the worse a class was recognised, the more it counts.

A search uses the recall of val. Final training has no val and uses the recall of a clean sample of
train; as the network memorises that sample, the weights become equal.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

FLOOR = 0.1
"""This is added to every class's share of mistakes, so that a class without mistakes still
counts.
"""


class ClassWeights:
    """A `ClassWeights` holds one weight per class for `cross_entropy`; all are 1 before `update`.

    strength: 0 leaves all classes equal; with 1, a class that is never recognised counts 11 times
    as much as one that always is; with 2, 121 times.
    """

    def __init__(self, strength: float, num_classes: int, device: torch.device) -> None:
        self._strength = strength
        self.weights = torch.ones(num_classes, device=device)

    def update(self, recall: Sequence[float | None]) -> None:
        """Sets each class's weight to (1 − recall + `FLOOR`) ** strength, then scales their mean to
        1.

        recall: for each class the share of its images that were recognised, or `None` without
        images.
        """
        self.weights.copy_(weights_for(recall, self._strength))

    def state_dict(self) -> dict[str, Any]:
        """Returns the weights, for a checkpoint. Tensors aren't copied."""
        return {"weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the weights in place from a result of `state_dict`."""
        self.weights.copy_(state["weights"])


def weights_for(recall: Sequence[float | None], strength: float) -> Tensor:
    """Returns the weights of `ClassWeights.update`: float32 (classes,) with mean 1.

    recall: for each class the share of its images that were recognised. A class without images
    (`None`) gets the mean recall of the others.
    """
    known = [value for value in recall if value is not None]
    mean = sum(known) / len(known)
    shares = torch.tensor([mean if value is None else value for value in recall]).double()
    weights = (1 - shares + FLOOR) ** strength
    return (weights / weights.mean()).float()


def weighted_loss(
    logits: Tensor, targets: Tensor, weights: Tensor, label_smoothing: float
) -> Tensor:
    """Returns the mean over the images of −Σ weight · target · log p over the classes.

    The sum is always divided by the number of images, so mixing images doesn't change the scale of
    the loss. `cross_entropy` alone would divide the sum for int64 targets by their weights instead.

    logits: float (B, classes).
    targets: int64 (B,), or float (B, classes) that sum to 1 in each row; the function smooths them
    first.
    weights: float32 (classes,).
    """
    if targets.ndim == 1:
        targets = one_hot(targets, len(weights)).to(logits.dtype)
    return cross_entropy(logits, targets, weight=weights, label_smoothing=label_smoothing)
