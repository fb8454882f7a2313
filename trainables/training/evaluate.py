"""Evaluates a network on a split: clean images, evaluation mode, no autograd."""

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
from trainables.models.inference import autocast, evaluation_batch
from trainables.models.network import Network
from trainables.training.batches import BatchFeeder
from trainables.training.frozen_views import FrozenViews

FEATURE_CACHE_BYTES = 512 << 20
"""A trial may store at most this many bytes of outputs of its frozen stages."""

CALIBRATED_IMAGES = 10_000
"""An evaluation keeps the logits of so many images at most, spread evenly over the split."""

LOG_SCALE = (-6.0, 6.0)
"""Natural logarithms of the smallest and the largest number that calibration multiplies logits by.
"""

BISECTIONS = 14
"""So many halvings of `LOG_SCALE` leave an interval of less than 0.1 %."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """An `Evaluation` holds loss and accuracies on one split; accuracies are fractions.

    loss: mean cross-entropy without label smoothing; may be infinite or NaN.
    top1: share of images whose label has the highest logit.
    top5: share of images whose label is among the five highest logits, or among all if there are
    fewer classes.
    recall: `top1` for each class alone, or `None` for a class without images.
    probability: mean of `calibrated_probabilities`, of `CALIBRATED_IMAGES` at most; `None` where it
    isn't asked for, or not finite.
    """

    loss: float
    top1: float
    top5: float
    recall: tuple[float | None, ...] = ()
    probability: float | None = None

    @property
    def finite_loss(self) -> float | None:
        """Returns the loss, or `None` if the loss is infinite or NaN, as in records."""
        return finite_or_none(self.loss)


def finite_or_none(value: float) -> float | None:
    """Returns `value`, or `None` if that is infinite or NaN."""
    return value if math.isfinite(value) else None


class Evaluator:
    """An `Evaluator` evaluates one network repeatedly, on splits that don't change.

    The frozen stages' outputs for a split don't change either. The first evaluation stores them, if
    those of the whole split fit into what remains of `cache_bytes`. They stay on the device, batch
    by batch. So later evaluations give the same numbers as without the cache, on a CPU to the last
    bit. With `config.views`, all trainings alike share them, in files (`FrozenViews`). Where
    `cache_bytes` is 0, nothing is stored, and no file either.
    """

    def __init__(
        self,
        network: Network,
        images: Images,
        config: TrialConfig,
        feeder: BatchFeeder,
        *,
        cache_bytes: int = FEATURE_CACHE_BYTES,
    ) -> None:
        self._network, self._images, self._config = network, images, config
        self._feeder, self._bytes_left, self._may_store = feeder, cache_bytes, cache_bytes > 0
        self._cached_features: dict[Split, list[tuple[Tensor, Tensor]]] = {}
        self._views: dict[Split, FrozenViews | None] = {}

    @torch.inference_mode()
    def evaluate(self, split: Split, *, calibrated: bool = False) -> Evaluation:
        """Evaluates every image of `split` once, in the configuration's precision, and where
        `calibrated` is true, finds its `probability` too.

        Afterwards the network has the same mode as before.
        """
        device = self._feeder.device
        loss = torch.zeros((), dtype=torch.float64, device=device)
        hits = torch.zeros(2, dtype=torch.int64, device=device)
        by_class = torch.zeros(2, len(self._images.class_ids), dtype=torch.int64, device=device)
        every = -(-len(split) // CALIBRATED_IMAGES)
        kept: list[tuple[Tensor, Tensor]] = []
        seen, training = 0, self._network.training
        self._network.eval()
        # One context serves all batches, because it casts each trained weight only once
        # (except for those of `SmallMapConv2d`).
        with autocast(self._config, device), closing(self._features(split)) as source:
            for features, labels in source:
                logits = self._network.classify(features)
                loss += cross_entropy(logits.float(), labels, reduction="sum")
                right = _correct(logits, labels)
                hits += right.sum(1)
                by_class[0].index_add_(0, labels, right[0].long())
                by_class[1].index_add_(0, labels, torch.ones_like(labels))
                if calibrated:
                    chosen = slice(-seen % every, None, every)
                    kept.append((logits[chosen].to(torch.float32, copy=True), labels[chosen]))
                    seen += len(labels)
        self._network.train(training)
        top1, top5 = (hits.double() / len(split)).tolist()
        probability = None
        if calibrated:
            found = calibrated_probabilities(*map(torch.cat, zip(*kept, strict=True)))
            probability = finite_or_none(found.mean().item())
        return Evaluation(
            loss=loss.item() / len(split),
            top1=top1,
            top5=top5,
            recall=_recall(*by_class.tolist()),
            probability=probability,
        )

    def views(self, split: Split) -> FrozenViews | None:
        """Returns the frozen stages' outputs for a split that are kept in files, or `None` where
        none are, or none are needed because this evaluator has stored them.
        """
        if split in self._cached_features:
            return None
        if self._may_store and split not in self._views:
            self._views[split] = FrozenViews.of(
                self._network, self._images, self._config, self._feeder, split, clean=True
            )
        return self._views.get(split)

    def _features(self, split: Split) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yields the frozen stages' outputs and the labels, batch by batch, and stores them if
        they fit.
        """
        if split in self._cached_features:
            yield from self._cached_features[split]
            return
        stored: list[tuple[Tensor, Tensor]] = []
        keep = self._network.has_frozen_features()
        at_once = evaluation_batch(self._config, self._feeder.device)
        views = self.views(split)
        feeder = views.of_epoch(1) if views else self._feeder
        source = feeder.batches(split, at_once, order_seed=None, drop_last=False)
        with closing(source):
            for batch, labels in source:
                features = batch if views else self._run_frozen(batch)
                keep = keep and features[0].nbytes * len(split) <= self._bytes_left
                if keep:
                    stored.append((features, labels))
                yield features, labels
        if keep:
            self._cached_features[split] = stored
            self._bytes_left -= sum(features.nbytes for features, _ in stored)

    def _run_frozen(self, pixels: Tensor) -> Tensor:
        batch = for_evaluation(pixels, self._config, self._images)
        return self._network.frozen_features(batch)


def evaluate(
    network: Network, split: Split, images: Images, config: TrialConfig, device: torch.device
) -> Evaluation:
    """Evaluates `network` once and stores no outputs; see `Evaluator.evaluate`."""
    feeder = BatchFeeder(device=device, resident=False)
    return Evaluator(network, images, config, feeder, cache_bytes=0).evaluate(split)


def calibrated_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns the probability, in 0…1, that logits (n, classes) give to each label, float32 (n,),
    once they are calibrated: multiplied by the number that makes the labels most likely
    (temperature scaling; Guo et al., 2017, arXiv:1706.04599).

    Neither label smoothing nor overconfidence changes them, as neither changes accuracy. But each
    image counts by how nearly it was right, so that few images tell more than by accuracy.
    """
    logits = logits.float() - logits.float().amax(1, keepdim=True)
    own = logits.gather(1, labels[:, None])[:, 0]
    low, high = (torch.tensor(limit, device=logits.device) for limit in LOG_SCALE)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        expected = (torch.softmax(middle.exp() * logits, 1) * logits).sum(1)
        too_sharp = (expected - own).mean() > 0  # the slope of the mean loss, which is convex
        low, high = torch.where(too_sharp, low, middle), torch.where(too_sharp, middle, high)
    scale = ((low + high) / 2).exp()
    return torch.softmax(scale * logits, 1).gather(1, labels[:, None])[:, 0]


def top_guesses(logits: Tensor) -> Tensor:
    """Returns the classes with the five highest logits, in order: int64 (B, 5), or (B, classes).

    The second shape holds if there are fewer than five classes.
    """
    return logits.topk(min(5, logits.shape[1]), dim=1).indices


def _correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns bool (2, B): whether each label has the highest logit, and is among the five
    highest.
    """
    right = top_guesses(logits) == labels[:, None]
    return torch.stack([right[:, 0], right.any(1)])


def _recall(right: list[int], images: list[int]) -> tuple[float | None, ...]:
    """Returns each class's share of images that were recognised, or `None` without images."""
    return tuple(r / n if n else None for r, n in zip(right, images, strict=True))
