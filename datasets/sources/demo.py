"""A made-up dataset that needs no download: drawn shapes with patterns, as real JPEG files.

A class is a shape with a pattern. Everything else is nuisance: place, size, rotation, colours,
clutter behind it, something in front of it, light and noise. There are few enough training
images that a network learns them by heart unless it is regularised.
"""

import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from datasets.sources.tiny_imagenet import list_samples
from datasets.spec import DatasetSpec

SEED = 2_015
TRAIN_PER_CLASS = 60
TEST_PER_CLASS = 50
SIDE = 64
DRAWN = 2 * SIDE
"""Drawn at twice the side, then halved, for smooth edges."""

# The difficulty.
RADIUS = (0.26, 0.40)
"""Of the shape, as shares of the side."""
OFFSET = 0.12
"""Of the shape's middle from the image's, at most, as a share of the side."""
TILT = 30.0
"""Degrees either way, of the shape and of its pattern."""
SPACING = (18.0, 26.0)
"""Of the pattern, in pixels as drawn."""
DARK, BRIGHT = (0.0, 130.0), (125.0, 255.0)
"""Grey levels of each channel: of the ground and the pattern's gaps, and of the shape."""
CLUTTER = (2, 6)
"""Pieces of other shapes behind it."""
OCCLUSION = 0.45
"""Chance of a bar in front of it."""
LIGHT = 0.3
"""Strength of the light's fall-off over the image."""
NOISE = (3.0, 14.0)
"""Standard deviation of the pixel noise, in grey levels."""

SHAPES: dict[str, tuple[tuple[float, float], ...]] = {
    "disc": tuple((np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 40)),
    "square": ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),
    "triangle": ((0, -1), (0.95, 0.75), (-0.95, 0.75)),
    "cross": (
        (-0.35, -1), (0.35, -1), (0.35, -0.35), (1, -0.35), (1, 0.35), (0.35, 0.35),
        (0.35, 1), (-0.35, 1), (-0.35, 0.35), (-1, 0.35), (-1, -0.35), (-0.35, -0.35),
    ),
    "star": tuple(
        ((1.0 if k % 2 == 0 else 0.45) * np.sin(k * np.pi / 5),
         -(1.0 if k % 2 == 0 else 0.45) * np.cos(k * np.pi / 5))
        for k in range(10)
    ),
}  # fmt: skip
PATTERNS = ("plain", "striped", "dotted", "checked")
CLASSES = tuple((shape, pattern) for shape in SHAPES for pattern in PATTERNS)

Floats = NDArray[np.float64]


def generate(directory: Path) -> None:
    """Writes all images into a new folder in Tiny ImageNet's layout, about 9 MB.

    The bytes depend on nothing but the constants above (and Pillow's version).
    """
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    ids = [f"d{number:08d}" for number in range(len(CLASSES))]
    (partial / "val" / "images").mkdir(parents=True)
    annotations = []
    for label, class_id in enumerate(ids):
        folder = partial / "train" / class_id / "images"
        folder.mkdir(parents=True)
        for number in range(TRAIN_PER_CLASS):
            _save(draw_image(label, number), folder / f"{class_id}_{number}.JPEG")
        for number in range(TEST_PER_CLASS):
            name = f"val_{label * TEST_PER_CLASS + number}.JPEG"
            _save(draw_image(label, TRAIN_PER_CLASS + number), partial / "val" / "images" / name)
            annotations.append(f"{name}\t{class_id}\t0\t0\t{SIDE - 1}\t{SIDE - 1}\n")
    (partial / "val" / "val_annotations.txt").write_text("".join(annotations))
    (partial / "wnids.txt").write_text("".join(f"{class_id}\n" for class_id in ids))
    names = (f"{i}\t{pattern} {shape}\n" for i, (shape, pattern) in zip(ids, CLASSES, strict=True))
    (partial / "words.txt").write_text("".join(names))
    os.replace(partial, directory)  # noqa: PTH105 # Path.replace says the same


def draw_image(label: int, number: int) -> Image.Image:
    """One RGB image of a class; `number` tells its images apart."""
    random = np.random.default_rng([SEED, label, number])
    shape, pattern = CLASSES[label]
    ground, gaps = random.uniform(*DARK, (2, 3))
    first = random.uniform(*BRIGHT, 3)
    image = Image.new("RGB", (DRAWN, DRAWN), _rgb(ground))
    _clutter(image, random)
    middle = (0.5 + random.uniform(-OFFSET, OFFSET, 2)) * DRAWN
    radius = random.uniform(*RADIUS) * DRAWN
    mask = _mask(SHAPES[shape], middle, radius, np.deg2rad(random.uniform(-TILT, TILT)), random)
    image.paste(_pattern(pattern, first, gaps, random), (0, 0), mask)
    if random.random() < OCCLUSION:
        _bar(image, random)
    return _photograph(image, random)


def _save(image: Image.Image, path: Path) -> None:
    image.save(path, "JPEG", quality=90)


def _rgb(colour: Floats) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in colour)
    return red, green, blue


def _clutter(image: Image.Image, random: np.random.Generator) -> None:
    """Corners and lines in any colour: edges that mean nothing."""
    pen = ImageDraw.Draw(image)
    for _ in range(random.integers(*CLUTTER, endpoint=True)):
        colour = _rgb(random.uniform(0, 255, 3))
        points = [tuple(p) for p in random.uniform(0, DRAWN, 2) + random.normal(0, 22, (3, 2))]
        if random.random() < 0.5:
            pen.polygon(points, fill=colour)
        else:
            pen.line(points, fill=colour, width=int(random.integers(2, 9)))


def _mask(
    outline: tuple[tuple[float, float], ...],
    middle: Floats,
    radius: float,
    tilt: float,
    random: np.random.Generator,
) -> Image.Image:
    """The shape, turned, squeezed a little and put in its place."""
    points = np.asarray(outline) * radius * [1.0, random.uniform(0.75, 1.0)]
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    mask = Image.new("L", (DRAWN, DRAWN), 0)
    ImageDraw.Draw(mask).polygon([tuple(p) for p in points @ turn.T + middle], fill=255)
    return mask


def _pattern(name: str, colour: Floats, gaps: Floats, random: np.random.Generator) -> Image.Image:
    """A whole image of the pattern, tilted a little, at a random phase and spacing."""
    angle = np.deg2rad(random.uniform(-TILT, TILT))
    spacing = random.uniform(*SPACING)
    phase = random.uniform(0, 2 * np.pi, 2)
    y, x = (axis * 2 * np.pi / spacing for axis in np.ogrid[0:DRAWN, 0:DRAWN])
    across = np.sin(x * np.cos(angle) + y * np.sin(angle) + phase[0])
    along = np.sin(y * np.cos(angle) - x * np.sin(angle) + phase[1])
    chosen = {
        "plain": np.False_,
        "striped": across > 0,
        "dotted": across + along > 0.7,
        "checked": across * along > 0,
    }[name]
    pixels = np.where(np.broadcast_to(chosen, across.shape)[..., None], gaps, colour)
    return Image.fromarray(pixels.astype(np.uint8))


def _bar(image: Image.Image, random: np.random.Generator) -> None:
    """A bar across the image, near its middle."""
    angle = random.uniform(0, np.pi)
    along = np.array([np.cos(angle), np.sin(angle)]) * DRAWN
    middle = random.uniform(0.3, 0.7, 2) * DRAWN
    ends = [tuple(middle - along), tuple(middle + along)]
    width = int(random.uniform(0.06, 0.14) * DRAWN)
    ImageDraw.Draw(image).line(ends, fill=_rgb(random.uniform(0, 255, 3)), width=width)


def _photograph(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Blur, uneven light, noise, and down to the final side."""
    image = image.filter(ImageFilter.GaussianBlur(random.uniform(0, 2.0)))
    pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    angle = random.uniform(0, 2 * np.pi)
    light = 1 + random.uniform(0, LIGHT) * (x * np.cos(angle) + y * np.sin(angle))
    pixels = pixels * light[..., None] * random.uniform(0.7, 1.2)
    pixels = pixels + random.normal(0, random.uniform(*NOISE), pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


DEMO = DatasetSpec(
    name="demo",
    summary="20 classes of drawn shapes, made here from a seed; needs no download",
    terms="The images are drawn by this project's code and may be used as it may: Apache License "
    "2.0.",
    image_size=SIDE,
    list_samples=list_samples,
    generate=generate,
)
