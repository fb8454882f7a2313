"""Finds the likeliest classes of image files, batch by batch, by any back end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.allowance import allowed_cores
from results.predictions import softmax
from trainables.final_model.inference.back_ends import Classifier
from trainables.final_model.inference.image_batches import ImageBatch, read_batches
from trainables.final_model.inference.image_files import ImageError, LeftOutFile


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Classified:
    """A `Classified` holds the classes of a batch of images.

    order: int64 (B, k), the likeliest classes of each image, best first.
    probabilities: float64 (B, k), their softmax probabilities.
    """

    paths: list[Path]
    order: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    left_out: list[LeftOutFile]


def classify(
    paths: Sequence[Path], classifier: Classifier, top: int | None, batch_size: int | None
) -> Iterator[Classified]:
    """Yields the classes of all images in order, batch by batch.

    top: how many classes of each image, or `None` for all.
    batch_size: how many images at once, or `None` for the classifier's own number.
    """
    described, threads = classifier.description, allowed_cores().amount
    size = batch_size or classifier.batch_size
    for batch in read_batches(paths, described.stored_px, described.white, size, threads):
        yield _classify_batch(batch, classifier, top)


def _classify_batch(batch: ImageBatch, classifier: Classifier, top: int | None) -> Classified:
    """Returns the likeliest classes of each image of a batch. An image for which the network
    computes no finite numbers is left out.
    """
    logits = np.empty((0, len(classifier.description.class_ids)), dtype=np.float32)
    if batch.paths:
        logits = classifier.logits(batch.pixels)
    fine = [bool(np.isfinite(row).all()) for row in logits]
    shares = softmax(logits[fine]) if any(fine) else np.empty((0, logits.shape[1]))
    order = np.argsort(-shares, axis=1, kind="stable")[:, :top]
    return Classified(
        paths=[path for path, good in zip(batch.paths, fine, strict=True) if good],
        order=order,
        probabilities=np.take_along_axis(shares, order, axis=1),
        left_out=batch.left_out
        + [
            LeftOutFile(path=str(path), sentence=str(_overflow_error(path)))
            for path, good in zip(batch.paths, fine, strict=True)
            if not good
        ],
    )


def _overflow_error(path: Path) -> ImageError:
    """Returns the error for an image for which the network computes no finite numbers."""
    return ImageError(
        f"{path} must give finite numbers, but the network's overflow; train again with "
        "--precision float32, or leave the image out."
    )
