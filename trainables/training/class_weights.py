"""What a class counts in the loss: more, the worse it was recognised after the epoch before.

A search takes the recall of val; final training, which has no val, that of its clean sample of
train: as the network learns that by heart, its weights become equal.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

FLOOR = 0.1
"""What is added to every class's share of mistakes, so that one without any still counts."""


class ClassWeights:
    """One weight a class, for `cross_entropy`; 1 for each until the first `update`.

    strength: 0 leaves all classes equal; with 1 a class never recognised counts 11 times as
    much as one always recognised, with 2 121 times.
    """

    def __init__(self, strength: float, num_classes: int, device: torch.device) -> None:
        self._strength = strength
        self.weights = torch.ones(num_classes, device=device)

    def update(self, recall: Sequence[float | None]) -> None:
        """Sets each class's weight to (1 − recall + `FLOOR`) ** strength, then their mean to 1."""
        self.weights.copy_(weights_for(recall, self._strength))

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training goes on from. Tensors aren't copied."""
        return {"weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state in place."""
        self.weights.copy_(state["weights"])


def weights_for(recall: Sequence[float | None], strength: float) -> Tensor:
    """Float32 (classes,) with mean 1: see `ClassWeights.update`.

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
    """Mean over the images of −Σ weight · target · log p over the classes.

    targets: int64 (B,), or float (B, classes) that sum to 1 in each row; smoothed first. The
    sum is divided by the number of images in both cases, where `cross_entropy` divides that of
    int64 targets by their weights: mixing images doesn't change the scale of the loss.
    """
    if targets.ndim == 1:
        targets = one_hot(targets, len(weights)).to(logits.dtype)
    return cross_entropy(logits, targets, weight=weights, label_smoothing=label_smoothing)
