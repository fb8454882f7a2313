"""What a network gets wrong, and whether it knows: from the predictions of a final training."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from results.predictions import Predictions

BINS = 15
"""Of equal width over 0…1, as in Guo et al. 2017 («On Calibration of Modern Neural Networks»)."""

PAIRS = 10
EXAMPLES = 6
"""How many pairs of classes are shown, and images of each."""

SURE_MISTAKES = 30

FEWEST_EXAMPLES = 16
"""Images whose pixels are kept even of a network without mistakes: an export is tried on them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassResult:
    """One class: its images in test, how many of them were recognised, how many images of any class
    were said to be of it, and what its own were mistaken for most often, with how many.
    """

    label: int
    images: int
    right: int
    said: int
    taken_for: tuple[int, int] | None

    @property
    def accuracy(self) -> float | None:
        """The share recognised; `None` without images."""
        return self.right / self.images if self.images else None

    @property
    def precision(self) -> float | None:
        """The share of what was said to be of this class that was; `None` where nothing was."""
        return self.right / self.said if self.said else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two classes that are taken for each other: `first_as_second` images of the first for the
    second, and the other way round. `examples` are positions, the most confident one first.
    """

    first: int
    second: int
    first_as_second: int
    second_as_first: int
    examples: tuple[int, ...]

    @property
    def mistakes(self) -> int:
        """Both ways together."""
        return self.first_as_second + self.second_as_first


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """The images whose confidence lies in (low, high]; means are `None` where there are none."""

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """`ece` is the expected calibration error: |accuracy - confidence| of the bins, weighted by
    their images. `confidence` is the mean of all images.
    """

    bins: tuple[Bin, ...]
    ece: float
    confidence: float


def by_class(predictions: Predictions) -> list[ClassResult]:
    """Every class, by number."""
    classes = predictions.logits.shape[1]
    wrong = Counter(_mistakes(predictions))
    images = np.bincount(predictions.labels, minlength=classes)
    right = np.bincount(predictions.labels[predictions.right], minlength=classes)
    said = np.bincount(predictions.predicted, minlength=classes)
    taken: dict[int, tuple[int, int]] = {}
    for (label, other), count in sorted(wrong.items(), key=lambda each: (-each[1], each[0])):
        taken.setdefault(label, (other, count))
    return [
        ClassResult(
            label=label, images=int(images[label]), right=int(right[label]), said=int(said[label]),
            taken_for=taken.get(label),
        )
        for label in range(classes)
    ]  # fmt: skip


def confused_pairs(predictions: Predictions) -> list[Pair]:
    """The `PAIRS` pairs with the most mistakes, both ways counted together."""
    wrong = Counter(_mistakes(predictions))
    together: Counter[tuple[int, int]] = Counter()
    for (label, other), count in wrong.items():
        together[min(label, other), max(label, other)] += count
    examples: dict[tuple[int, int], list[int]] = {}
    for position in _mistaken(predictions):
        label, other = int(predictions.labels[position]), int(predictions.predicted[position])
        examples.setdefault((min(label, other), max(label, other)), []).append(position)
    order = sorted(together, key=lambda pair: (-together[pair], pair))
    return [
        Pair(
            first=first, second=second,
            first_as_second=wrong[first, second], second_as_first=wrong[second, first],
            examples=tuple(examples[first, second][:EXAMPLES]),
        )
        for first, second in order[:PAIRS]
    ]  # fmt: skip


def sure_mistakes(predictions: Predictions) -> list[int]:
    """Positions of the mistakes made with the highest confidence, the highest first."""
    return _mistaken(predictions)[:SURE_MISTAKES]


def select_examples(predictions: Predictions) -> NDArray[np.int64]:
    """Rising positions of the images that are shown of these predictions, and a few more."""
    found = set(sure_mistakes(predictions))
    found |= {position for pair in confused_pairs(predictions) for position in pair.examples}
    found |= set(range(min(FEWEST_EXAMPLES, len(predictions.labels))))
    return np.asarray(sorted(found), dtype=np.int64)


def calibration(predictions: Predictions) -> Calibration:
    """How far confidence and accuracy are apart, in `BINS` bins."""
    confidence = predictions.confidence()
    edges = np.linspace(0, 1, BINS + 1)
    numbers = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, BINS - 1)
    bins = tuple(
        _bin(edges, number, confidence[numbers == number], predictions.right[numbers == number])
        for number in range(BINS)
    )
    apart = sum(abs(b.accuracy - b.confidence) * b.images for b in bins if b.accuracy is not None
                and b.confidence is not None)  # fmt: skip
    return Calibration(bins=bins, ece=apart / len(confidence), confidence=float(confidence.mean()))


def _bin(
    edges: NDArray[np.float64],
    number: int,
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_],
) -> Bin:
    return Bin(
        low=float(edges[number]),
        high=float(edges[number + 1]),
        images=len(right),
        confidence=float(confidence.mean()) if len(right) else None,
        accuracy=float(right.mean()) if len(right) else None,
    )


def _mistakes(predictions: Predictions) -> list[tuple[int, int]]:
    """(true class, predicted class) of each mistake."""
    wrong = ~predictions.right
    return list(
        zip(predictions.labels[wrong].tolist(), predictions.predicted[wrong].tolist(), strict=True)
    )


def _mistaken(predictions: Predictions) -> list[int]:
    """Positions of all mistakes, the most confident first, ties in their order."""
    wrong = np.flatnonzero(~predictions.right)
    order = np.argsort(-predictions.confidence()[wrong], kind="stable")
    return [int(position) for position in wrong[order]]
