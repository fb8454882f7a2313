"""Small archives in CIFAR-100's layout, pickled as Python 2 did it."""

import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOP = "cifar-100-python"


class _Python2Pickler(pickle._Pickler):
    """Protocol 2 with Python 2's texts, which hold names and an array's bytes alike."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_text(self, value: str | bytes) -> None:
        data = value if isinstance(value, bytes) else value.encode("latin1")
        short = len(data) < 256
        head = b"U" + bytes([len(data)]) if short else b"T" + struct.pack("<i", len(data))
        self.write(head + data)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_text


def python2_pickle(value: object) -> bytes:
    """The bytes that Python 2 with an old numpy writes for `value`."""
    buffer = io.BytesIO()
    _Python2Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def cifar_images(classes: int, per_class: int, seed: int) -> tuple[NDArray[np.uint8], list[int]]:
    """uint8 (n, 3072), planes of red, green and blue, and labels, in mixed order.

    A class is a colour and a direction of its gradient, under noise: a network can tell them
    apart.
    """
    random = np.random.default_rng([seed, classes])
    labels = random.permutation(np.repeat(np.arange(classes), per_class))
    tints = np.random.default_rng(7).uniform(50, 200, (classes, 3, 1, 1))
    angles = np.arange(classes) * 2.4
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    waves = np.cos(angles)[:, None, None] * x + np.sin(angles)[:, None, None] * y
    clean = tints[labels] + 50 * waves[labels, None]
    noisy = clean + random.normal(0, 25, clean.shape)
    return noisy.clip(0, 255).astype(np.uint8).reshape(len(labels), -1), labels.tolist()


def cifar_files(classes: int, images: int) -> dict[str, dict[str, Any]]:
    """Name -> content of the three files, before they are pickled."""
    names = [f"class_{number:03d}" for number in range(classes)]
    files: dict[str, dict[str, Any]] = {
        "meta": {"fine_label_names": names, "coarse_label_names": ["all"]}
    }
    for part, count in (("train", images), ("test", max(1, images // 5))):
        pixels, labels = cifar_images(classes, count, seed=len(part))
        files[part] = {
            "filenames": [f"{names[label]}_s_{n:06d}.png" for n, label in enumerate(labels)],
            "batch_label": f"{part}ing batch 1 of 1",
            "fine_labels": labels,
            "coarse_labels": [0] * len(labels),
            "data": pixels,
        }
    return files


def write_archive(path: Path, pickles: dict[str, bytes]) -> Path:
    """A tar.gz at `path` with these files in the official folder."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in pickles.items():
            member = tarfile.TarInfo(f"{TOP}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def make_cifar100_archive(path: Path, classes: int = 10, images: int = 20) -> Path:
    """A `cifar-100-python.tar.gz` at `path`: `images` a class to train, a fifth of it to test."""
    files = cifar_files(classes, images)
    return write_archive(path, {name: python2_pickle(value) for name, value in files.items()})
