"""Draws a synthetic dataset that needs no download: shapes with patterns, as real JPEG files.

A class is a shape with a pattern. Everything else varies at random: position, size, rotation,
colours, clutter behind the shape, a bar in front of it, light and noise. There are so few training
images that a network memorises them unless it is regularised.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from datasets.sources.tiny_imagenet import list_samples
from datasets.spec import DatasetSpec

SEED = 2_015
"""This seed determines all images."""
TRAIN_PER_CLASS = 60
"""Each class has this many training images."""
TEST_PER_CLASS = 50
"""Each class has this many test images."""
SIDE = 64
"""The images have this many pixels a side."""
DRAWN = 2 * SIDE
"""Images are drawn with this side in pixels, then halved, which makes edges smooth."""

# The following constants decide how difficult the dataset is.
RADIUS = (0.26, 0.40)
"""The shape's radius lies in this range, as a share of the image side."""
OFFSET = 0.12
"""The shape's centre differs from the image's by at most this share of the side, in x and in y."""
TILT = 30.0
"""Shape and pattern are rotated by at most this many degrees either way."""
SPACING = (18.0, 26.0)
"""The pattern repeats after a number of drawn pixels in this range."""
DARK, BRIGHT = (0.0, 130.0), (125.0, 255.0)
"""`DARK` is the range of grey levels, in each channel, of the ground and of the pattern's gaps;
`BRIGHT` is the range of the shape's.
"""
CLUTTER = (2, 6)
"""The number of pieces behind the shape lies in this range, both ends included."""
OCCLUSION = 0.45
"""A bar lies in front of the shape with this probability."""
LIGHT = 0.3
"""The brightness rises towards one side and falls towards the other by at most this share."""
NOISE = (3.0, 14.0)
"""The standard deviation of the pixel noise lies in this range, in grey levels."""

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
"""This table gives each shape's outline as points (x, y) in units of its radius."""
PATTERNS = ("plain", "striped", "dotted", "checked")
"""A shape is filled with one of these patterns."""
CLASSES = tuple((shape, pattern) for shape in SHAPES for pattern in PATTERNS)
"""Every shape with every pattern is a class; its position is its label."""

Floats = NDArray[np.float64]
"""Arrays of this type hold colours (3,) or points."""


def generate(directory: Path) -> None:
    """Writes all images into an empty folder in Tiny ImageNet's layout, about 9 MB.

    The bytes depend on the constants in this module and on Pillow's version only.
    """
    numbers = range(TRAIN_PER_CLASS + TEST_PER_CLASS)
    write_images(directory, numbers[:TRAIN_PER_CLASS], numbers[TRAIN_PER_CLASS:])


def write_images(directory: Path, train: range, test: range) -> None:
    """Writes the images with these numbers of each class into an empty folder in Tiny ImageNet's
    layout. The demo's are 0 to 109; there are images of any other number too.
    """
    ids = [f"d{number:08d}" for number in range(len(CLASSES))]
    (directory / "val" / "images").mkdir(parents=True)
    annotations = []
    for label, class_id in enumerate(ids):
        folder = directory / "train" / class_id / "images"
        folder.mkdir(parents=True)
        for number in train:
            _save(draw_image(label, number), folder / f"{class_id}_{number}.JPEG")
        for position, number in enumerate(test):
            name = f"val_{label * len(test) + position}.JPEG"
            _save(draw_image(label, number), directory / "val" / "images" / name)
            annotations.append(f"{name}\t{class_id}\t0\t0\t{SIDE - 1}\t{SIDE - 1}\n")
    (directory / "val" / "val_annotations.txt").write_text("".join(annotations), encoding="utf-8")
    (directory / "wnids.txt").write_text(
        "".join(f"{class_id}\n" for class_id in ids), encoding="utf-8"
    )
    names = (f"{i}\t{pattern} {shape}\n" for i, (shape, pattern) in zip(ids, CLASSES, strict=True))
    (directory / "words.txt").write_text("".join(names), encoding="utf-8")


def draw_image(label: int, number: int) -> Image.Image:
    """Draws one RGB image of class `label`; `number` distinguishes the images of a class."""
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
    """Writes an image to `path` as a JPEG file of quality 90."""
    image.save(path, "JPEG", quality=90)


def _rgb(colour: Floats) -> tuple[int, int, int]:
    """Returns a colour, float (3,), as the tuple of three whole numbers that Pillow needs."""
    red, green, blue = (int(value) for value in colour)
    return red, green, blue


def _clutter(image: Image.Image, random: np.random.Generator) -> None:
    """Draws triangles and lines in random colours: edges that mean nothing."""
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
    """Returns a mask of the shape: rotated, squeezed a little and moved to its position.

    outline: the shape's points in units of its radius.
    middle, radius: position and radius in drawn pixels.
    tilt: angle of rotation in radians.
    """
    points = np.asarray(outline) * radius * [1.0, random.uniform(0.75, 1.0)]
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    mask = Image.new("L", (DRAWN, DRAWN), 0)
    ImageDraw.Draw(mask).polygon([tuple(p) for p in points @ turn.T + middle], fill=255)
    return mask


def _pattern(name: str, colour: Floats, gaps: Floats, random: np.random.Generator) -> Image.Image:
    """Returns a whole image of the pattern, rotated a little, with random phase and spacing.

    colour, gaps: the two colours of the pattern, as (red, green, blue).
    """
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
    """Draws a bar of a random colour across the image, near its centre."""
    angle = random.uniform(0, np.pi)
    along = np.array([np.cos(angle), np.sin(angle)]) * DRAWN
    middle = random.uniform(0.3, 0.7, 2) * DRAWN
    ends = [tuple(middle - along), tuple(middle + along)]
    width = int(random.uniform(0.06, 0.14) * DRAWN)
    ImageDraw.Draw(image).line(ends, fill=_rgb(random.uniform(0, 255, 3)), width=width)


def _photograph(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Applies blur, uneven light and noise, and shrinks the image to its final side."""
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
    nominal_train_images=1_080,
    list_samples=list_samples,
    generate=generate,
)
"""This specification describes the drawn dataset."""
