"""Prepared data as the search and final training see it."""

from pathlib import Path

import numpy as np

from datasets.manifest import Manifest, read_manifest
from datasets.splits import FinalData, Images, SearchData, Split

TRAIN_FILE = "train.beton"
TEST_FILE = "test.beton"


def open_search_data(directory: Path) -> SearchData:
    """Train, val and a clean sample of train, of the data prepared in `directory`.

    Raises `DatasetError` as `read_manifest` does.
    """
    manifest = read_manifest(directory)
    beton = directory.resolve() / TRAIN_FILE
    val = np.asarray(manifest.val, dtype=np.int64)
    everything = np.arange(sum(manifest.train_per_class), dtype=np.int64)
    train = np.setdiff1d(everything, val, assume_unique=True)
    sample = np.asarray(manifest.train_sample, dtype=np.int64)
    return SearchData(
        images=_images(manifest),
        train=Split(name="train", beton=beton, indices=train),
        val=Split(name="val", beton=beton, indices=val),
        train_sample=Split(name="train_sample", beton=beton, indices=sample),
    )


def open_final_data(directory: Path) -> FinalData:
    """Train and val together, and test. Raises `DatasetError` as `read_manifest` does."""
    manifest = read_manifest(directory)
    folder = directory.resolve()
    train = np.arange(sum(manifest.train_per_class), dtype=np.int64)
    test = np.arange(manifest.test_images, dtype=np.int64)
    return FinalData(
        images=_images(manifest),
        train=Split(name="train+val", beton=folder / TRAIN_FILE, indices=train),
        test=Split(name="test", beton=folder / TEST_FILE, indices=test),
    )


def _images(manifest: Manifest) -> Images:
    return Images(
        fingerprint=manifest.fingerprint,
        class_ids=manifest.class_ids,
        class_names=manifest.class_names,
        size=manifest.image_size,
        mean=manifest.mean,
        std=manifest.std,
    )
