"""What a final training's network said of each test image, in the one pass that opened test.

Everything that is told of a final model later, on its page and in its card, is made from this
file, so that nobody needs to open test again.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from results.records import RecordError

PREDICTIONS = "predictions.npz"
"""The file's name in the folder of a final training."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Predictions:
    """The test images in the order of their file.

    labels, predicted: int64 (n,), the true class and the one with the highest logit. logits,
    mirrored: float32 (n, classes), of each image and of its mirror image. examples: int64 (k,),
    rising, positions of the images of which pixels were kept: uint8 (k, side, side, 3), as
    stored. origin: names the weights, configuration and images that all this comes from.
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
        """Reads what `arrays` gives. Raises `ValueError` and `KeyError` for anything else."""
        values: dict[str, Any] = {field.name: arrays[field.name] for field in fields(cls)}
        found = cls(**values | {"origin": str(values["origin"])})
        found._check()
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name, for `numpy.savez`."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    def save(self, file: IO[bytes]) -> None:
        """Writes a file that `read_predictions` reads. Logits of noise hardly shrink."""
        np.savez(file, **self.arrays())  # type: ignore[arg-type]  # its stub takes one more name

    def _check(self) -> None:
        """Raises `ValueError` for arrays that don't belong together."""
        count, classes = self.logits.shape
        kept = len(self.examples)
        side = self.pixels.shape[1] if self.pixels.ndim == 4 else 0
        wanted = {
            "labels": ((count,), np.int64), "predicted": ((count,), np.int64),
            "logits": ((count, classes), np.float32), "mirrored": ((count, classes), np.float32),
            "examples": ((kept,), np.int64), "pixels": ((kept, side, side, 3), np.uint8),
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
        """(n,), whether each image was recognised."""
        right: NDArray[np.bool_] = self.predicted == self.labels
        return right

    def confidence(self) -> NDArray[np.float64]:
        """(n,), the softmax probability of the predicted class."""
        found: NDArray[np.float64] = softmax(self.logits)[
            np.arange(len(self.labels)), self.predicted
        ]
        return found

    def flip_averaged_top1(self) -> float:
        """The share recognised by the mean of an image's logits and its mirror image's."""
        mean = self.logits.astype(np.float64) + self.mirrored
        return float((mean.argmax(1) == self.labels).mean())


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities (n, classes) of logits, of which infinite ones count as the largest number."""
    finite = np.nan_to_num(logits).astype(np.float64)
    powers = np.exp(finite - finite.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def read_predictions(folder: Path) -> Predictions:
    """Those of the final training in `folder`. Raises `RecordError` where there are none."""
    path = folder / PREDICTIONS
    try:
        with zipfile.ZipFile(path) as archive:  # numpy believes a header before its checksum
            if damaged := archive.testzip():
                raise ValueError(f"the checksum of {damaged} in it is wrong")
        with np.load(path, allow_pickle=False) as file:
            return Predictions.from_arrays(file)
    except FileNotFoundError:
        raise RecordError(
            f"{path} must be there, for test is opened once and its outcome kept in it; train "
            "again with python -m trainables.final --overwrite."
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # zipfile and numpy raise a dozen types for broken content
        said = str(error).replace("\n", " ")
        raise RecordError(
            f"{path} is damaged ({said}); restore it from a copy, or train again with "
            "python -m trainables.final --overwrite."
        ) from error
