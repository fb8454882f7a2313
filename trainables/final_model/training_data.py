"""Opens the images of a final training, and checks whether the search saw the same ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.cli import quote_command
from common.errors import UserError
from datasets.access import open_final_data
from datasets.census.names import shorten_list
from datasets.manifest import FILE_NAME, verify
from datasets.prepare import prepare
from datasets.spec import prepared_folder
from datasets.splits import FinalData, Images
from trainables.final_model.best_config import BestConfig


class DataError(UserError):
    """This error says that a final training can't use the images; its message says why and what to
    do.
    """


def open_data(
    best: BestConfig, data: Path, source: Path | None, config: Path, *, accept: bool
) -> FinalData:
    """Prepares, opens and verifies the dataset that a configuration is trained on.

    Raises `DataError` for images of other classes than the search's, and for other images of the
    same classes unless `accept` is set, and `DatasetError` where they can't be prepared or opened.

    data: the folder of the prepared datasets.
    source: what to prepare the dataset from where it is missing.
    config: the best.yaml, which messages name.
    """
    directory = prepared_folder(data, best.dataset)
    # Of images that are there, the fingerprint says whether they are the search's, size included.
    known = best.fingerprint is not None and (directory / FILE_NAME).exists()
    size, val = (None, None) if known else (best.image_size, best.val)
    prepare(best.dataset, source=source, data=data, size=size, val=val)
    found = open_final_data(directory)
    if best.fingerprint not in (None, found.images.fingerprint):
        _check_other_images(best, found.images, directory, config, accept=accept)
    verify(directory)
    return found


def describe_origin(best: BestConfig, images: Images) -> dict[str, Any]:
    """Returns what the record of a final training says on its dataset, and under `chosen_on` on
    that of the search, if the search saw other images.
    """
    origin: dict[str, Any] = {
        "dataset": best.dataset,
        "dataset_fingerprint": images.fingerprint,
        "stored_px": images.size,
    }
    if best.fingerprint not in (None, images.fingerprint):
        origin["chosen_on"] = {
            "dataset": best.searched,
            "dataset_fingerprint": best.fingerprint,
            "stored_px": best.image_size,
        }
    return origin


def _check_other_images(
    best: BestConfig, images: Images, directory: Path, config: Path, *, accept: bool
) -> None:
    """Raises `DataError` for images that the search didn't see, unless `accept` is set and their
    classes are known to be the search's.
    """
    searched = best.class_ids
    if searched is not None and searched != images.class_ids:
        raise DataError(
            f"The {len(searched)} classes of the search on {best.searched} must be in the dataset, "
            f"and no others, but {directory} {_describe_difference(searched, images.class_ids)}: "
            "pass the search's --data or --source, prepare images of the same classes, or search "
            "on these with search.run."
        )
    if not accept:
        also = "; or train on these images of the same classes with --accept-dataset"
        raise DataError(
            f"The dataset must be the one that the search saw, {best.searched} with fingerprint "
            f"{best.fingerprint}, but {directory} has {images.fingerprint}: pass the search's "
            "--data or --source; images must have the same val, and own ones the same size too"
            f"{also if searched else ''}."
        )
    if searched is None:
        run = config.parent if config.name == "best.yaml" else "RUN"
        raise DataError(
            f"--accept-dataset must compare the classes with the search's, but {config} doesn't "
            "name these: export it again with "
            f"`{quote_command('python -m results.export', run)}`, or, if its run is of an older "
            "version, add them in order as a line dataset_class_ids, and remove its lines sha256 "
            "and schema_version."
        )


def _describe_difference(searched: Sequence[str], here: Sequence[str]) -> str:
    """Returns how the classes `here` differ from those that were `searched`."""
    lacking = [each for each in searched if each not in set(here)]
    more = [each for each in here if each not in set(searched)]
    parts = [f"lacks {shorten_list(lacking)}"] * bool(lacking)
    parts += [f"has {shorten_list(more)} besides"] * bool(more)
    return " and ".join(parts) or "has them in another order"
