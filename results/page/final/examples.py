"""Prepares test images for a page, with the classes that they were mistaken for."""

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from results.analysis.error_analysis import confused_pairs, sure_mistakes
from results.analysis.final_run import FinalRun
from results.page.formatting import count, percent

LARGEST_PX = 128
"""Images are shrunk to at most this many pixels a side on a page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """Holds one image as a data URI, the name of its class, the name of the predicted class, and
    the confidence.
    """

    source: str
    label: str
    predicted: str
    confidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """Holds pictures under a title; `words` count the mistakes of each kind, including those
    without a picture.
    """

    title: str
    words: str
    pictures: list[Picture]


def pairs(trained: FinalRun) -> list[Gallery]:
    """Returns a gallery for each of the most confused pairs of classes, with some of its
    mistakes.
    """
    names = trained.class_names
    galleries = []
    for pair in confused_pairs(trained.predictions):
        first, second = names[pair.first], names[pair.second]
        ways = [(pair.first_as_second, first, second), (pair.second_as_first, second, first)]
        ways = [way for way in sorted(ways, key=lambda way: -way[0]) if way[0]]
        words = "; ".join(f"{times} × {true} taken for {other}" for times, true, other in ways)
        galleries.append(
            Gallery(
                title=f"{first} and {second}: {count(pair.mistakes, 'mistake')}",
                words=words,
                pictures=_pictures(trained, list(pair.examples)),
            )
        )
    return galleries


def surest_mistakes(trained: FinalRun) -> list[Picture]:
    """Returns pictures of the most confident mistakes, the most confident first."""
    return _pictures(trained, sure_mistakes(trained.predictions))


def _pictures(trained: FinalRun, positions: list[int]) -> list[Picture]:
    """Returns pictures of the images at these positions in test. Positions without stored pixels
    are skipped; there are some only if another version of the project selected the images.
    """
    seen = trained.predictions
    names = trained.class_names
    stored = {int(position): index for index, position in enumerate(seen.examples)}
    confidence = seen.confidence()
    return [
        Picture(
            source=data_uri(seen.pixels[stored[position]]),
            label=names[int(seen.labels[position])],
            predicted=names[int(seen.predicted[position])],
            confidence=percent(float(confidence[position])),
        )
        for position in positions
        if position in stored
    ]


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Returns an image (uint8, side × side × 3) as the data URI of a JPEG, shrunk to at most
    `LARGEST_PX` a side.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((LARGEST_PX, LARGEST_PX), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
