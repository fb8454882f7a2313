"""Test images on a page, with what they were taken for."""

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
"""Larger images are shrunk to that on a page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One image as a data URI, the class it is of, and the one it was taken for."""

    source: str
    label: str
    predicted: str
    confidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """Pictures under a title; `words` say what there is of them in all."""

    title: str
    words: str
    pictures: list[Picture]


def pairs(trained: FinalRun) -> list[Gallery]:
    """The pairs of classes that are confused most, each with some of its mistakes."""
    names = trained.class_names
    galleries = []
    for pair in confused_pairs(trained.predictions):
        first, second = names[pair.first], names[pair.second]
        ways = [(pair.first_as_second, first, second), (pair.second_as_first, second, first)]
        ways = [way for way in sorted(ways, key=lambda way: -way[0]) if way[0]]
        words = "; ".join(f"{times} × {true} taken for {said}" for times, true, said in ways)
        galleries.append(
            Gallery(
                title=f"{first} and {second}: {count(pair.mistakes, 'mistake')}",
                words=words,
                pictures=_pictures(trained, list(pair.examples)),
            )
        )
    return galleries


def surest_mistakes(trained: FinalRun) -> list[Picture]:
    """The mistakes that were made with the highest confidence, the highest first."""
    return _pictures(trained, sure_mistakes(trained.predictions))


def _pictures(trained: FinalRun, positions: list[int]) -> list[Picture]:
    """Of those whose pixels were kept, which is all unless another version chose them."""
    seen = trained.predictions
    names = trained.class_names
    kept = {int(position): index for index, position in enumerate(seen.examples)}
    confidence = seen.confidence()
    return [
        Picture(
            source=data_uri(seen.pixels[kept[position]]),
            label=names[int(seen.labels[position])],
            predicted=names[int(seen.predicted[position])],
            confidence=percent(float(confidence[position])),
        )
        for position in positions
        if position in kept
    ]


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """uint8 (side, side, 3) as a JPEG of at most `LARGEST_PX` a side."""
    image = Image.fromarray(pixels)
    image.thumbnail((LARGEST_PX, LARGEST_PX), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
