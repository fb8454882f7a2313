"""How well a network does on a split: clean images, evaluation mode, no autograd."""

import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from datasets.splits import Images, Split
from trainables.augmentation.batch import for_evaluation
from trainables.config import TrialConfig
from trainables.models.network import Network
from trainables.training.batches import BatchFeeder

EVALUATION_BATCH = 128
"""ResNet-18 at 64 px on one Zen 4 thread, float32 / bfloat16 images/s: 64 472 / 892,
128 488 / 907, 256 463 / 828, 512 436 / 814."""

KEPT_BYTES = 512 << 20
"""What one trial may spend on the outputs of its frozen stages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Mean cross-entropy (without label smoothing) and accuracies as fractions.

    `top5` counts a label among the five highest logits, or among all where there are fewer
    classes. `loss` may be infinite or NaN. `recall` is top1 for each class alone, `None` for a
    class without images.
    """

    loss: float
    top1: float
    top5: float
    recall: tuple[float | None, ...] = ()

    @property
    def finite_loss(self) -> float | None:
        """The loss as records hold it: `None` where it isn't finite."""
        return finite_or_none(self.loss)


def finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


class Evaluator:
    """Evaluates one network again and again, on splits that don't change.

    What its frozen stages make of a split doesn't change either: those outputs are kept from
    the first evaluation on, where those of the whole split fit into what is left of
    `kept_bytes`. They are kept on the device, batch by batch, as they come: so later
    evaluations give what they would give without, to the last bit.
    """

    def __init__(
        self,
        network: Network,
        images: Images,
        config: TrialConfig,
        feeder: BatchFeeder,
        *,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._network, self._images, self._config = network, images, config
        self._feeder, self._bytes_left = feeder, kept_bytes
        self._kept: dict[Split, list[tuple[Tensor, Tensor]]] = {}

    @torch.inference_mode()
    def evaluate(self, split: Split) -> Evaluation:
        """Every image of `split` once, in the configuration's precision.

        Leaves the network in the mode that it was in.
        """
        device = self._feeder.device
        loss = torch.zeros((), dtype=torch.float64, device=device)
        hits = torch.zeros(2, dtype=torch.int64, device=device)
        by_class = torch.zeros(2, len(self._images.class_ids), dtype=torch.int64, device=device)
        training = self._network.training
        self._network.eval()
        # One context for all batches: it casts a trained weight to bfloat16 once, but for those
        # of `SmallMapConv2d`.
        with autocast(self._config, device), closing(self._features(split)) as source:
            for features, labels in source:
                logits = self._network.classify(features)
                loss += cross_entropy(logits.float(), labels, reduction="sum")
                right = _right(logits, labels)
                hits += right.sum(1)
                by_class[0].index_add_(0, labels, right[0].long())
                by_class[1].index_add_(0, labels, torch.ones_like(labels))
        self._network.train(training)
        top1, top5 = (hits.double() / len(split)).tolist()
        return Evaluation(
            loss=loss.item() / len(split), top1=top1, top5=top5, recall=_recall(*by_class.tolist())
        )

    def _features(self, split: Split) -> Generator[tuple[Tensor, Tensor], None, None]:
        """The frozen stages' outputs and the labels, batch by batch."""
        if split in self._kept:
            yield from self._kept[split]
            return
        made: list[tuple[Tensor, Tensor]] = []
        keep = self._network.has_frozen_features()
        at_once = evaluation_batch(self._config)
        source = self._feeder.batches(split, at_once, order_seed=None, drop_last=False)
        with closing(source):
            for pixels, labels in source:
                batch = for_evaluation(pixels, self._config, self._images)
                features = self._network.frozen_features(batch)
                keep = keep and features[0].nbytes * len(split) <= self._bytes_left
                if keep:
                    made.append((features, labels))
                yield features, labels
        if keep:
            self._kept[split] = made
            self._bytes_left -= sum(features.nbytes for features, _ in made)


def evaluate(
    network: Network, split: Split, images: Images, config: TrialConfig, device: torch.device
) -> Evaluation:
    """One evaluation, of which nothing is kept: see `Evaluator.evaluate`."""
    feeder = BatchFeeder(device=device, resident=False)
    return Evaluator(network, images, config, feeder, kept_bytes=0).evaluate(split)


def autocast(config: TrialConfig, device: torch.device) -> torch.autocast:
    """The context in which forward passes run: bfloat16 where the configuration says so."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.precision == "bfloat16")


def evaluation_batch(config: TrialConfig) -> int:
    """How many images are evaluated at once."""
    return min(EVALUATION_BATCH, config.micro_batch_size or EVALUATION_BATCH)


def top_guesses(logits: Tensor) -> Tensor:
    """int64 (B, 5), or as many as there are classes: those with the highest logits, in order."""
    return logits.topk(min(5, logits.shape[1]), dim=1).indices


def _right(logits: Tensor, labels: Tensor) -> Tensor:
    """Bool (2, B): whether each label is the highest logit, and among the five highest."""
    right = top_guesses(logits) == labels[:, None]
    return torch.stack([right[:, 0], right.any(1)])


def _recall(right: list[int], images: list[int]) -> tuple[float | None, ...]:
    return tuple(r / n if n else None for r, n in zip(right, images, strict=True))
