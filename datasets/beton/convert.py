"""Converts the images of a listing into verified betons and a manifest that describes them."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.files import describe_lacking_space, is_full, sync_folder
from common.progress_bar import progress
from common.signals import hold, raise_received
from datasets.access import TEST_FILE, TRAIN_FILE
from datasets.beton.decode import BrokenImage
from datasets.beton.decode_pool import open_decoder
from datasets.beton.describe import describe
from datasets.beton.writer import BetonContents, FileFacts, beton_bytes, verify_beton, write_beton
from datasets.census.names import shorten_list
from datasets.census.value_range import WHITES, find_white
from datasets.manifest import FILE_NAME, Manifest, stage_manifest
from datasets.spec import DatasetError, Listing, Sample, Tree
from datasets.splits import stratified_split

BROKEN_SHOWN = 10
"""An error about broken images lists at most this many of them."""
PARTIAL = ".{}.partial"
"""A file that isn't finished yet has the name that this pattern makes of its final name."""


def convert(
    name: str,
    tree: Tree,
    listing: Listing,
    directory: Path,
    *,
    size: int,
    val: float,
    workers: int,
    skip_broken: bool,
    again: str,
) -> Manifest:
    """Writes both betons and the manifest into `directory` and returns the manifest.

    The folder must exist, and the caller must hold its lock. The old files stay in place until both
    new ones are verified. Raises `DatasetError` for broken images, a full disk, a killed worker and
    too few images; partial files are then removed.

    name: the dataset's name, as the manifest states it.
    size: side of the stored images in pixels.
    val: share of each class's training images that become val.
    workers: number of decoding processes.
    skip_broken: whether to leave out broken images instead of raising an error.
    again: the command that prepares the same data, to which remedies add options.
    """
    parts = {TRAIN_FILE: listing.train, TEST_FILE: listing.test}
    partials = {file: directory / PARTIAL.format(file) for file in parts}
    clean_up(directory)
    check_listing(listing, directory, size)
    try:
        written, white = _write(listing.images or tree, parts, partials, size, workers)
        broken = [b for part in written.values() for b in part.broken]
        if broken and not skip_broken:
            raise DatasetError(_broken_message(tree, broken, again))
        _check_class_sizes(listing, written[TRAIN_FILE].labels, written[TEST_FILE].labels)
        facts = _verify(written, partials, size)
        manifest = describe(name, tree, listing, size, val, written, facts, white)
        with hold():
            _publish(directory, partials, manifest)
        raise_received()
    except OSError as error:
        raise _disk_error(error, directory) from error
    except BrokenProcessPool as error:
        raise DatasetError(
            "A decoding process was killed, most likely for want of memory; "
            f"use fewer of them with `{again} --workers {workers // 2}`."
        ) from error
    finally:
        clean_up(directory)
    return manifest


def clean_up(directory: Path) -> None:
    """Removes the partial files that an earlier conversion left in `directory`."""
    for partial in directory.glob(PARTIAL.format("*")):
        partial.unlink(missing_ok=True)


def _write(
    images: Tree,
    parts: Mapping[str, Sequence[Sample]],
    partials: dict[str, Path],
    size: int,
    workers: int,
) -> tuple[dict[str, BetonContents], int | None]:
    """Decodes and writes both files. Returns what each of them holds, by file name, and the white
    of the images with more than 8 bits a channel, if the training split has any.

    Only decoding shows which values these images use. So the training split is decoded with the
    largest white first, and once more if its values need a smaller one.
    """
    with open_decoder(images, size, workers) as decode:

        def write(file: str, white: int | None) -> BetonContents:
            with progress(file, len(parts[file]), "images") as advance:
                chunks = decode(parts[file], white)
                return write_beton(partials[file], chunks, len(parts[file]), advance)

        train = write(TRAIN_FILE, WHITES[-1])
        white = find_white(train.peaks)
        if white not in (None, WHITES[-1]):
            train = write(TRAIN_FILE, white)
        return {TRAIN_FILE: train, TEST_FILE: write(TEST_FILE, white)}, white


def _verify(
    written: dict[str, BetonContents], partials: dict[str, Path], size: int
) -> dict[str, FileFacts]:
    """Reads both files back in two threads, because hashing lets other threads run."""
    with ThreadPoolExecutor(len(written)) as threads:
        running = {
            file: threads.submit(verify_beton, partials[file], part, size)
            for file, part in written.items()
        }
        return {file: future.result() for file, future in running.items()}


def _publish(directory: Path, partials: dict[str, Path], manifest: Manifest) -> None:
    """Replaces the old files by the new ones.

    While files are replaced, there is no manifest, so no process uses them. The function writes
    everything before it removes the first old file, so that a full disk destroys nothing.
    """
    for partial in partials.values():
        with partial.open("rb") as opened:
            os.fsync(opened.fileno())
    staged = stage_manifest(manifest, directory)
    (directory / FILE_NAME).unlink(missing_ok=True)
    for file, partial in partials.items():
        partial.replace(directory / file)
    sync_folder(directory)
    staged.replace(directory / FILE_NAME)
    sync_folder(directory)


def labels_of(samples: Sequence[Sample]) -> NDArray[np.int64]:
    """Returns the samples' classes as int64 (n,)."""
    return np.asarray([sample.label for sample in samples], dtype=np.int64)


def count_train(listing: Listing, val: float) -> int:
    """Returns the number of images in train, without the share `val`. Copies, which are found when
    images are decoded, may change it by a few.
    """
    return len(stratified_split(labels_of(listing.train), val)[0])


def check_listing(listing: Listing, directory: Path, size: int) -> None:
    """Checks what can be checked before the first image is decoded. Raises `DatasetError` for a
    class with too few images, and for too little disk space in `directory`, which needn't exist
    yet, for images of `size` pixels a side.
    """
    needed = sum(beton_bytes(len(samples), size) for samples in (listing.train, listing.test))
    if lacking := describe_lacking_space(directory, needed):
        raise DatasetError(lacking)
    _check_class_sizes(listing, labels_of(listing.train), labels_of(listing.test))


def _check_class_sizes(listing: Listing, train: NDArray[np.int64], test: NDArray[np.int64]) -> None:
    """Raises `DatasetError` for a class with fewer than 2 images in train or fewer than 1 in
    test.
    """
    faults = []
    for part, labels, least in (("train", train, 2), ("test", test, 1)):
        counts = np.bincount(labels, minlength=len(listing.class_ids))
        if few := [
            f"{listing.class_ids[n]} has {counts[n]}" for n in np.flatnonzero(counts < least)
        ]:
            why = " (one of them for val)" if part == "train" else ""
            classes = "the class" if len(few) == 1 else "these classes"
            faults.append(
                f"Every class needs at least {least} good images in {part}{why}, but "
                f"{shorten_list(few)}; add some or remove {classes}."
            )
    if faults:
        raise DatasetError(faults)


def _disk_error(error: OSError, directory: Path) -> DatasetError:
    if is_full(error):
        return DatasetError(
            f"The disk that holds {directory} is full and nothing half-made was kept; "
            "free some space or use another --data folder."
        )
    return DatasetError(
        f"Converting into {directory} failed ({error}) and nothing half-made was kept; "
        "check that folder and the source, then run it again."
    )


def _broken_message(tree: Tree, broken: Sequence[BrokenImage], again: str) -> str:
    """Returns the message for broken images: the first `BROKEN_SHOWN` and the number of others."""
    shown = "".join(f"\n  {b.path}: {b.reason}" for b in broken[:BROKEN_SHOWN])
    more = f"\n  … and {len(broken) - BROKEN_SHOWN} more" if len(broken) > BROKEN_SHOWN else ""
    images = "image is" if len(broken) == 1 else "images are"
    return (
        f"{len(broken)} {images} broken in {tree.root}; repair the source, "
        f"or leave them out with `{again} --skip-broken`:{shown}{more}"
    )
