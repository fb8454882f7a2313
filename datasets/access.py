"""Opens prepared data for a search and for final training."""

from pathlib import Path

import numpy as np

from datasets.manifest import Manifest, read_manifest
from datasets.splits import FinalData, Images, SearchData, Split

TRAIN_FILE = "train.beton"
"""This file of a prepared dataset holds the official training split: train and val."""
TEST_FILE = "test.beton"
"""This file of a prepared dataset holds the official validation or test split: test."""


def open_search_data(directory: Path) -> SearchData:
    """Returns train, val and a clean sample of train, of the data prepared in `directory`.

    Raises `DatasetError` if the manifest is missing, damaged or of another version, or if a file is
    missing or has another size (see `datasets.manifest.read_manifest`).
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
    """Returns train and val as one split, and test, of the data prepared in `directory`.

    Raises `DatasetError` in the same cases as `open_search_data`.
    """
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
    """Returns the properties that all splits of a dataset share, taken from its manifest.

    A channel that is constant in all training images has a standard deviation of 1 here, so that
    it is shifted and never divided by 0.
    """
    red, green, blue = (value or 1.0 for value in manifest.std)
    return Images(
        fingerprint=manifest.fingerprint,
        class_ids=manifest.class_ids,
        class_names=manifest.class_names,
        size=manifest.image_size,
        mean=manifest.mean,
        std=(red, green, blue),
        white=manifest.value_range["white"] if manifest.value_range else None,
    )
