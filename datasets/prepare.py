"""Makes a dataset ready to train on: `python -m datasets.prepare tiny-imagenet`."""

import codecs
import os
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    from common.signals import exit_on_signals

    exit_on_signals("ended; nothing half-made is left.")

from common.allowance import allowed_cores
from common.cli import Parser, quote, refuse
from common.errors import UserError
from common.signals import code_of, end_process, handle_signals
from common.text import printable
from datasets.census.code_pages import describe_code_page
from datasets.census.copies import describe_copies
from datasets.census.image_sizes import LARGE_PX, describe_sizes
from datasets.census.left_out import describe_left_out
from datasets.census.value_range import describe_range
from datasets.manifest import FILE_NAME, Manifest, read_manifest, verify
from datasets.registry import DATASETS, find_dataset
from datasets.spec import (
    OWN,
    VAL_FRACTION,
    DatasetError,
    DatasetSpec,
    check_options,
    dataset_name,
    find_free_dataset,
    prepare_command,
    prepared_folder,
)


def prepare(
    name: str,
    *,
    source: Path | None = None,
    data: Path = Path("data"),
    workers: int | None = None,
    size: int | None = None,
    val: float | None = None,
    skip_broken: bool = False,
    skip_empty: bool = False,
    overwrite: bool = False,
    zip_encoding: str | None = None,
) -> Manifest:
    """Converts the dataset `name` into a folder in `data`, unless done, and returns its manifest.

    Raises `DatasetError` for everything that a user can put right, above all if the folder holds
    other data and `overwrite` is false.

    source: archive or folder, of a kind that this dataset takes. Without a source, the dataset is
    downloaded or generated if that is possible.
    workers: number of decoding processes, by default one a core; the result doesn't depend on it.
    size: side of the stored images in pixels, by default the dataset's own. A user's own images
    have no default if the median of their shorter sides exceeds `LARGE_PX`.
    val: share of each class's training images that become val, by default `VAL_FRACTION`.
    skip_broken, skip_empty: whether to leave out broken images and empty class folders, or raise.
    overwrite: whether to convert again and replace the data that is there.
    zip_encoding: of names in a zip archive not marked as UTF-8, as Python names it, or a guess.
    """
    spec, directory = find_dataset(name), prepared_folder(data, name)
    check_options(workers, size, val, zip_encoding)
    encoding = codecs.lookup(zip_encoding).name if zip_encoding else None
    options = (name, source, data, encoding, size, val)
    again = prepare_command(*options, skip_broken=skip_broken, skip_empty=skip_empty)
    if not overwrite and (directory / FILE_NAME).exists():
        return _check_existing(spec, directory, source, size, val, encoding, again)
    from common.files import lock_folder
    from datasets.sources.image_sizes import check_sizes
    from datasets.sources.opening import check_source, list_source

    check_source(spec, source, data)
    with lock_folder(directory):
        # Another process may have finished the work while this one waited.
        if not overwrite and (directory / FILE_NAME).exists():
            return _check_existing(spec, directory, source, size, val, encoding, again)
        from datasets.beton.convert import convert

        tree, listing = list_source(spec, source, data, encoding, again, skip_empty=skip_empty)
        if size is None:
            check_sizes(listing, again + " --overwrite" * overwrite)
        return convert(
            name,
            tree,
            listing,
            directory,
            size=size or spec.image_size,
            val=val or VAL_FRACTION,
            workers=workers or allowed_cores().amount,
            skip_broken=skip_broken,
            again=again,
        )


def inspect(
    name: str,
    *,
    source: Path | None = None,
    data: Path = Path("data"),
    size: int | None = None,
    val: float | None = None,
) -> int | None:
    """Checks what `prepare` checks before it decodes the first image, and changes nothing.

    The parameters are those of `prepare`. Returns the number of images in train, without val, or
    `None` if the images have yet to be downloaded or generated and their number isn't known. Before
    a source is decoded, copies in it may change the number by a few. Raises `DatasetError`.
    """
    spec = find_dataset(name)
    check_options(None, size, None, None)
    directory = prepared_folder(data, name)
    again = prepare_command(name, source, data, None, size)
    if (directory / FILE_NAME).exists():
        return _check_existing(spec, directory, source, size, None, None, again).train_images
    if source is None:
        images = spec.nominal_train_images
        share = (1 - (val or VAL_FRACTION)) / (1 - VAL_FRACTION)
        return None if images is None else round(images * share)
    from datasets.beton.convert import check_listing, count_train
    from datasets.sources.opening import list_source

    _, listing = list_source(spec, source, data, None, again, skip_empty=False)
    check_listing(listing, directory, size or spec.image_size)
    return count_train(listing, val or VAL_FRACTION)


def _check_existing(
    spec: DatasetSpec,
    directory: Path,
    source: Path | None,
    size: int | None,
    val: float | None,
    zip_encoding: str | None,
    again: str,
) -> Manifest:
    """Returns the manifest of the existing data.

    Raises `DatasetError` if size, share of val, encoding of names or source differ from it.

    again: the command that prepares the wanted data.
    """
    manifest = read_manifest(directory)
    page = manifest.code_page
    if source is None and os.access(manifest.source, os.F_OK):  # a download may be gone
        again += " " + quote("--source", manifest.source)
    other = "use another folder with --data"
    if spec.name.split(":")[0] == OWN:
        free = find_free_dataset(source or Path(manifest.source), directory.parent)
        other = f"call the others `{free}`"
    remedy = f"{other}, or replace them with `{again} --overwrite`."
    if size is not None and size != manifest.image_size:
        raise DatasetError(
            f"The images in {directory} have {manifest.image_size} px, not {size}; {remedy}"
        )
    if val is not None and val != manifest.val_fraction:
        raise DatasetError(
            f"Of the images in {directory}, {manifest.val_fraction:g} of train are val, not "
            f"{val:g}; {remedy}"
        )
    if zip_encoding is not None and page and page["encoding"] != zip_encoding:
        raise DatasetError(
            f"The names of the images in {directory} were read as {page['encoding']}, not as "
            f"{zip_encoding}; {remedy}"
        )
    if page and not page["guessed"]:
        zip_encoding = page["encoding"]
    if source is not None:
        from datasets.sources.opening import fingerprint_source

        if fingerprint_source(spec, source, zip_encoding) != manifest.source_fingerprint:
            made = f"from another source ({manifest.source}), not from {source}"
            if str(source.resolve()) == manifest.source:
                made = f"from {source} before its files changed"
            raise DatasetError(f"The images in {directory} were made {made}; {remedy}")
    return manifest


def parser() -> Parser:
    """Builds the parser of the command line."""
    result = Parser(
        prog="python -m datasets.prepare",
        description="Makes a dataset ready to train on.",
        epilog="datasets: " + "; ".join(f"{s.name} – {s.summary}" for s in DATASETS.values()),
    )
    result.add_argument("name", metavar="NAME", help="one of the datasets below")
    result.add_argument("--source", type=Path, metavar="PATH", help="archive or folder")
    result.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where to put it, as DIR/NAME, or DIR/folder-NAME for folder:NAME (default: data)",
    )
    result.add_argument(
        "--workers", type=int, metavar="N", help="decoding processes (default: one a core)"
    )
    result.add_argument(
        "--size",
        type=int,
        metavar="PX",
        help="side of the stored images in pixels (default: the dataset's own; it must be given "
        f"for images of yours that exceed {LARGE_PX} px)",
    )
    result.add_argument(
        "--val",
        type=float,
        metavar="SHARE",
        help="share of each class's training images that a search decides on, and doesn't train on "
        f"(default: {VAL_FRACTION})",
    )
    result.add_argument("--skip-broken", action="store_true", help="leave broken images out")
    result.add_argument(
        "--skip-empty", action="store_true", help="leave class folders without images out"
    )
    result.add_argument(
        "--zip-encoding",
        metavar="NAME",
        help="encoding of names in a zip archive that aren't marked as UTF-8, such as cp932 "
        "(default: UTF-8 where it fits, else cp437)",
    )
    result.add_argument("--overwrite", action="store_true", help="replace what is there")
    result.add_argument("--verify", action="store_true", help="read everything back and compare")
    return result


def summary(manifest: Manifest, directory: Path) -> str:
    """Returns three lines for people: classes and image counts, folder and size, and the
    fingerprint.
    """
    total = sum(facts["bytes"] for facts in manifest.files.values())
    skipped = f", {len(manifest.skipped)} broken left out" if manifest.skipped else ""
    return (
        f"{dataset_name(directory.name)}: {manifest.describe_images()}{skipped}\n"
        f"in {directory} ({total / 1e6:,.0f} MB), from {printable(manifest.source)}\n"
        f"fingerprint {manifest.fingerprint[:16]}"
    )


def remarks(manifest: Manifest, directory: Path) -> list[str]:
    """Returns a line for the original sizes of a user's own images, for the values of 16-bit and
    float images, for names in a guessed encoding, for each reason why something in the source
    wasn't taken, for each kind of copies, and for constant channels.

    directory: the folder of the prepared data. It names the dataset, as it may have been renamed.
    """
    source, size = Path(manifest.source), manifest.image_size
    name = dataset_name(directory.name)
    val = manifest.chosen_val
    again = prepare_command(name, source, directory.parent, None, size, val, overwrite=True)
    sizes = manifest.original_sizes
    measured = [f"original images: {describe_sizes(sizes)}"] if sizes else []
    measured += describe_range(manifest.value_range)
    measured += describe_code_page(manifest.code_page, again)
    channels = zip(("red", "green", "blue"), manifest.std, strict=True)
    constant = [name for name, std in channels if not std]
    shifted = [f"constant in all training images, so shifted and not scaled: {', '.join(constant)}"]
    found = describe_left_out(manifest.left_out) + describe_copies(manifest.copies)
    return measured + found + (shifted if constant else [])


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 0, 2 after an error, 128 + n after signal n."""
    options: dict[str, Any] = vars(parser().parse_args(arguments))
    directory = prepared_folder(options["data"], options["name"])
    check = options.pop("verify")
    try:
        with handle_signals():
            manifest = prepare(**options)
            if check:
                verify(directory)
    except UserError as error:
        return refuse(error)
    except KeyboardInterrupt as interruption:
        refuse("interrupted; nothing half-made was kept.")
        return code_of(interruption)
    verified = ", verified" * check
    print(summary(manifest, directory) + verified, *remarks(manifest, directory), sep="\n")
    return 0


if __name__ == "__main__":
    end_process(main())
