"""Takes a share of the training images, the same images in each training, or all of a file, and
reads their labels.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from datasets.beton.format import METADATA, METADATA_START
from datasets.loading.checks import check_beton
from datasets.splits import SearchData, Split, stratified_split

SHARE_SEED = 20_262
"""This seed decides which images a share consists of. Recorded short trainings saw the same ones
(results/published/rungs.md).
"""


def take_share(data: SearchData, share: float) -> SearchData:
    """Returns the data with a `share` of the training images of each class, above 0 and at most 1,
    and with as large a share of their clean sample. Val stays whole.

    A class with two or more images keeps at least one. Raises `DatasetError` for a file that is
    missing or cut short.
    """
    train, sample = share_of(data.train, share), share_of(data.train_sample, share)
    return replace(data, train=train, train_sample=sample)


def share_of(split: Split, share: float) -> Split:
    """Returns a share of the images of each class in the split, the split itself for all of them.
    Raises `DatasetError`.
    """
    if share == 1:
        return split
    _, part = stratified_split(labels_of(split), share, SHARE_SEED)
    return replace(split, name=f"{split.name} × {share:g}", indices=split.indices[part])


def labels_of(split: Split) -> NDArray[np.int64]:
    """Returns the labels of the split's images, in its order. Raises `DatasetError`."""
    count = check_beton(split.beton)
    rows = np.fromfile(split.beton, dtype=METADATA, count=count, offset=METADATA_START)
    return rows["label"][split.indices].astype(np.int64)


def all_images(split: Split) -> Split:
    """Returns all images of the split's file, in the file's order. Raises `DatasetError`."""
    return replace(split, name="all", indices=np.arange(check_beton(split.beton), dtype=np.int64))
