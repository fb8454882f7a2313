"""Made-up JPEG files in Tiny ImageNet's layout, as many as wanted: the GPU machine has no network.

Each class is a smooth pattern of its own under noise, so that there is something to learn.
"""

import io
import zipfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from common.files import open_atomically

SIDE, PATCH = 64, 8


def draw(label: int, count: int) -> list[bytes]:
    """The JPEG files of a class's images, all different."""
    random = np.random.default_rng(label)
    coarse = random.normal(128, 30, (SIDE // PATCH, SIDE // PATCH, 3))
    pattern = coarse.repeat(PATCH, axis=0).repeat(PATCH, axis=1)
    files = []
    for _ in range(count):
        pixels = pattern + random.normal(0, 40, pattern.shape)
        buffer = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files


def write_zip(path: Path, *, classes: int, images: int, test_images: int) -> None:
    """Writes an archive with so many images of each class for training, and so many for test."""
    ids = [f"m{label:08d}" for label in range(classes)]
    lines = []
    each = partial(draw, count=images + test_images)
    start = get_context("spawn")  # a fork would take over CUDA and threads
    with (
        open_atomically(path) as file,
        zipfile.ZipFile(file, "w") as archive,
        ProcessPoolExecutor(mp_context=start) as pool,
    ):
        for class_id, files in zip(ids, pool.map(each, range(classes)), strict=True):
            for number, content in enumerate(files):
                name = f"{class_id}_{number}.JPEG"
                if number < images:
                    archive.writestr(f"made/train/{class_id}/images/{name}", content)
                else:
                    archive.writestr(f"made/val/images/{name}", content)
                    lines.append(f"{name}\t{class_id}\n")
        archive.writestr("made/val/val_annotations.txt", "".join(lines))
        archive.writestr("made/wnids.txt", "".join(f"{class_id}\n" for class_id in ids))
