"""Reads and writes the predictions of a final training's network on every test image, made in the
one pass that opened test.

Every later statement about a final model, on its page and in its card, is derived from this file,
so that test never has to be opened again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from common.array_files import read_arrays
from common.errors import RecordError

PREDICTIONS = "predictions.npz"
"""A final training writes the predictions on test to a file of this name in its folder."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Predictions:
    """Holds the predictions for the test images, in the order of their file.

    labels, predicted: the true class and the one with the highest logit, int64 of shape (n,).
    logits, mirrored: the logits of each image and of its mirror image, float32 of shape (n,
        classes).
    examples: the positions of the images whose pixels are stored, rising, int64 of shape (k,).
    pixels: the stored pixels of these images, uint8 of shape (k, side, side, 3).
    origin: an identification of the weights, configuration and images that the predictions come
        from.
    """

    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    logits: NDArray[np.float32]
    mirrored: NDArray[np.float32]
    examples: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    origin: str

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Builds predictions from the arrays of the file, by field name. Raises `KeyError` for a
        missing array, and `ValueError` for arrays whose shapes, types or numbers don't match.
        """
        values: dict[str, Any] = {field.name: arrays[field.name] for field in fields(cls)}
        found = cls(**values | {"origin": str(values["origin"])})
        found._check()
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Returns the fields as arrays by name, for `numpy.savez`."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    def save(self, file: IO[bytes]) -> None:
        """Writes a file that `read_predictions` reads. The file isn't compressed, because logits
        are mostly noise and hardly shrink.
        """
        np.savez(file, **self.arrays())  # type: ignore[arg-type]  # its stub takes one more name

    def _check(self) -> None:
        """Raises `ValueError` where the arrays' shapes, types or numbers don't match each other."""
        count, classes = self.logits.shape
        stored = len(self.examples)
        side = self.pixels.shape[1] if self.pixels.ndim == 4 else 0
        wanted = {
            "labels": ((count,), np.int64), "predicted": ((count,), np.int64),
            "logits": ((count, classes), np.float32), "mirrored": ((count, classes), np.float32),
            "examples": ((stored,), np.int64), "pixels": ((stored, side, side, 3), np.uint8),
        }  # fmt: skip
        for name, (shape, kind) in wanted.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != kind:
                raise ValueError(f"{name} has the shape {array.shape} of {array.dtype}")
        inside = [(self.labels, classes), (self.predicted, classes), (self.examples, count)]
        if not count or any(len(a) and not (0 <= a.min() <= a.max() < n) for a, n in inside):
            raise ValueError("a number in it names no class or no image")

    @property
    def right(self) -> NDArray[np.bool_]:
        """Returns whether each image was recognised, as an array of shape (n,)."""
        right: NDArray[np.bool_] = self.predicted == self.labels
        return right

    def confidence(self) -> NDArray[np.float64]:
        """Returns the softmax probability of the predicted class for each image, of shape (n,)."""
        found: NDArray[np.float64] = softmax(self.logits)[
            np.arange(len(self.labels)), self.predicted
        ]
        return found

    def flip_averaged_top1(self) -> float:
        """Returns the accuracy (0…1) of predicting with the mean of an image's logits and its
        mirror image's.
        """
        mean = self.logits.astype(np.float64) + self.mirrored
        return float((mean.argmax(1) == self.labels).mean())


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns the softmax probabilities, of shape (n, classes). Infinite logits count as the
    largest finite number, and NaN as 0.
    """
    finite = np.nan_to_num(logits).astype(np.float64)
    powers = np.exp(finite - finite.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def read_predictions(folder: Path) -> Predictions:
    """Returns the predictions of the final training in `folder`. Raises `RecordError` where the
    file is missing or damaged.
    """
    path = folder / PREDICTIONS
    try:
        return Predictions.from_arrays(read_arrays(path))
    except FileNotFoundError:
        raise RecordError(
            f"{path} must be there, for test is opened once and its outcome kept in it; train "
            "again with python -m trainables.final … --overwrite."
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # zipfile and numpy raise a dozen types for broken content
        reason = str(error).replace("\n", " ")
        raise RecordError(
            f"{path} is damaged ({reason}); restore it from a copy, or train again with "
            "python -m trainables.final … --overwrite."
        ) from error
