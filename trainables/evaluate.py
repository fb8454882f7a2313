"""How well a network does on a split: clean images, evaluation mode, no autograd."""

import math
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from datasets.loader import batches
from datasets.splits import Images, Split
from trainables.augment import for_evaluation
from trainables.config import TrialConfig
from trainables.networks import Network

EVALUATION_BATCH = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Mean cross-entropy (without label smoothing) and accuracies as fractions.

    `top5` counts a label among the five highest logits, or among all where there are fewer
    classes. `loss` may be infinite or NaN.
    """

    loss: float
    top1: float
    top5: float

    @property
    def finite_loss(self) -> float | None:
        """The loss as records hold it: `None` where it isn't finite."""
        return finite(self.loss)


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@torch.inference_mode()
def evaluate(
    network: Network, split: Split, images: Images, config: TrialConfig, device: torch.device
) -> Evaluation:
    """Every image of `split` once, in `config.precision`. Leaves the network in its old mode."""
    loss = torch.zeros((), dtype=torch.float64, device=device)
    hits = torch.zeros(2, dtype=torch.int64, device=device)
    training = network.training
    network.eval()
    with closing(batches(split, EVALUATION_BATCH, order_seed=None, drop_last=False)) as source:
        for pixels, labels in source:
            batch = for_evaluation(to_device(pixels, device), config, images)
            targets = to_device(labels, device)
            with autocast(config, device):
                logits = network(batch)
            loss += cross_entropy(logits.float(), targets, reduction="sum")
            hits += _hits(logits, targets)
    network.train(training)
    top1, top5 = (hits.double() / len(split)).tolist()
    return Evaluation(loss=loss.item() / len(split), top1=top1, top5=top5)


def autocast(config: TrialConfig, device: torch.device) -> torch.autocast:
    """The context in which forward passes run: bfloat16 where the configuration says so."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.precision == "bfloat16")


def to_device(batch: Tensor, device: torch.device) -> Tensor:
    """A batch on `device`; copies to a GPU go through pinned memory and don't wait."""
    if device.type == "cuda":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch.to(device)


def _hits(logits: Tensor, labels: Tensor) -> Tensor:
    """int64 (2,): how many labels are the highest logit, and among the five highest."""
    guesses = logits.topk(min(5, logits.shape[1]), dim=1).indices
    right = guesses == labels[:, None]
    return torch.stack([right[:, 0].sum(), right.sum()])
