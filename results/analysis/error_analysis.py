"""Analyses the predictions of a final training: which mistakes a network makes, and whether its
confidence is calibrated.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from results.predictions import Predictions

BINS = 15
"""Confidences over 0…1 are sorted into this many bins of equal width, as in Guo et al. 2017 («On
Calibration of Modern Neural Networks»).
"""

PAIRS = 10
"""A page and a model card show at most this many pairs of confused classes."""
EXAMPLES = 6
"""A page shows at most this many images for each pair of confused classes."""

SURE_MISTAKES = 30
"""A page shows at most this many of the most confident mistakes."""

FEWEST_EXAMPLES = 16
"""The pixels of at least this many images are stored, even for a network without mistakes, because
exporting the model runs the exported copy on them.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassResult:
    """Holds the result of one class on test: its `images`, how many of them were recognised
    (`right`), and how many images of any class were `predicted` as this one. `taken_for` is the
    class that its images were mistaken for most often, and how many were.
    """

    label: int
    images: int
    right: int
    predicted: int
    taken_for: tuple[int, int] | None

    @property
    def accuracy(self) -> float | None:
        """Returns the share of the class's images that were recognised. It is `None` where the
        class has no images.
        """
        return self.right / self.images if self.images else None

    @property
    def precision(self) -> float | None:
        """Returns the share of the images predicted as this class that belong to it. It is `None`
        where no image was predicted as this class.
        """
        return self.right / self.predicted if self.predicted else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Holds two classes that the network confuses: `first_as_second` images of the first were
    predicted as the second, and `second_as_first` the other way round. `examples` are positions of
    such images in test, the most confident mistake first.
    """

    first: int
    second: int
    first_as_second: int
    second_as_first: int
    examples: tuple[int, ...]

    @property
    def mistakes(self) -> int:
        """Returns the number of mistakes in both directions together."""
        return self.first_as_second + self.second_as_first


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """Holds the images whose confidence lies in (low, high]. The mean confidence and the accuracy
    are `None` where there are no such images.
    """

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Holds how far confidence and accuracy are apart. `ece` is the expected calibration error: the
    mean of |accuracy - confidence| over the bins, weighted by their images. `confidence` is the
    mean over all images.
    """

    bins: tuple[Bin, ...]
    ece: float
    confidence: float


def by_class(predictions: Predictions) -> list[ClassResult]:
    """Returns the result of every class, in the order of class numbers."""
    classes = predictions.logits.shape[1]
    wrong = Counter(_mistakes(predictions))
    images = np.bincount(predictions.labels, minlength=classes)
    right = np.bincount(predictions.labels[predictions.right], minlength=classes)
    predicted = np.bincount(predictions.predicted, minlength=classes)
    taken: dict[int, tuple[int, int]] = {}
    for (label, other), count in sorted(wrong.items(), key=lambda each: (-each[1], each[0])):
        taken.setdefault(label, (other, count))
    return [
        ClassResult(
            label=label, images=int(images[label]), right=int(right[label]),
            predicted=int(predicted[label]), taken_for=taken.get(label),
        )
        for label in range(classes)
    ]  # fmt: skip


def confused_pairs(predictions: Predictions) -> list[Pair]:
    """Returns the `PAIRS` pairs of classes with the most mistakes, counted in both directions."""
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
    """Returns the positions of the `SURE_MISTAKES` mistakes with the highest confidence, the
    highest first.
    """
    return _mistaken(predictions)[:SURE_MISTAKES]


def select_examples(predictions: Predictions) -> NDArray[np.int64]:
    """Returns the rising positions of the images whose pixels are stored: all that are shown, and
    the first `FEWEST_EXAMPLES`. The result has the shape (k,).
    """
    found = set(sure_mistakes(predictions))
    found |= {position for pair in confused_pairs(predictions) for position in pair.examples}
    found |= set(range(min(FEWEST_EXAMPLES, len(predictions.labels))))
    return np.asarray(sorted(found), dtype=np.int64)


def calibration(predictions: Predictions) -> Calibration:
    """Returns the calibration of these predictions, in `BINS` bins of confidence."""
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
    """Returns (true class, predicted class) for each mistake."""
    wrong = ~predictions.right
    return list(
        zip(predictions.labels[wrong].tolist(), predictions.predicted[wrong].tolist(), strict=True)
    )


def _mistaken(predictions: Predictions) -> list[int]:
    """Returns the positions of all mistakes, the most confident first; equally confident ones stay
    in the order of the file.
    """
    wrong = np.flatnonzero(~predictions.right)
    order = np.argsort(-predictions.confidence()[wrong], kind="stable")
    return [int(position) for position in wrong[order]]
