"""Makes a dataset ready to train on: `python -m datasets.prepare tiny-imagenet`."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.cli import INTERRUPTED, Parser, quote, quote_command, refuse
from common.errors import UserError
from datasets.census.copies import describe_copies
from datasets.census.left_out import describe_left_out
from datasets.census.names import shorten_list
from datasets.manifest import FILE_NAME, Manifest, read_manifest, verify
from datasets.registry import DATASETS, find_dataset
from datasets.sources.leftovers import count_leftovers
from datasets.spec import DatasetError, DatasetSpec, Listing, Source

SMALLEST_PX, LARGEST_PX = 16, 512
"""Stored images have at least `SMALLEST_PX` and at most `LARGEST_PX` pixels a side."""


def prepare(
    name: str,
    *,
    source: Path | None = None,
    data: Path = Path("data"),
    workers: int | None = None,
    size: int | None = None,
    skip_broken: bool = False,
    skip_empty: bool = False,
    overwrite: bool = False,
) -> Manifest:
    """Converts the dataset `name` into `data`/`name`, unless it is there, and returns its manifest.

    Raises `DatasetError` for everything that a user can put right, above all if the folder holds
    other data and `overwrite` is false.

    source: archive or folder, of a kind that this dataset takes. Without a source, the dataset is
    downloaded or generated if that is possible.
    workers: number of decoding processes, by default one a core. The result doesn't depend on this
    number.
    size: side of the stored images in pixels, by default the dataset's own.
    skip_broken: whether to leave out images that can't be decoded; otherwise they raise
    `DatasetError`.
    skip_empty: whether to leave out class folders without images; otherwise they raise
    `DatasetError`.
    overwrite: whether to convert again and replace the data that is there.
    """
    spec = find_dataset(name)
    _check_options(workers, size)
    directory = data / name
    words: list[object] = ["--source", source] if source else []
    words += ["--size", size] if size else []
    words += ["--skip-broken"] * skip_broken + ["--skip-empty"] * skip_empty
    again = quote_command("python -m datasets.prepare", name, *words, data=data)
    if not overwrite and (directory / FILE_NAME).exists():
        return _check_existing(spec, directory, source, size, again)
    from common.files import lock_folder

    with lock_folder(directory):
        # Another process may have finished the work while this one waited.
        if not overwrite and (directory / FILE_NAME).exists():
            return _check_existing(spec, directory, source, size, again)
        tree, listing = _list_source(spec, source, data, again, skip_empty=skip_empty)
        from datasets.beton.convert import convert

        return convert(
            name,
            tree,
            listing,
            directory,
            size=size or spec.image_size,
            workers=workers or len(os.sched_getaffinity(0)),
            skip_broken=skip_broken,
            again=again,
        )


def _list_source(
    spec: DatasetSpec, source: Path | None, data: Path, again: str, *, skip_empty: bool
) -> tuple[Source, Listing]:
    """Opens the source and lists its images, with a count of all that isn't among them.

    Raises `DatasetError` for what the source lacks, and for an empty class folder unless
    `skip_empty` is set.

    again: the command that prepares the same data, to which remedies add options.
    """
    try:
        tree = _open_source(spec, _find_source(spec, source, data))
        listing = spec.list_samples(tree)
        if listing.empty_classes and not skip_empty:
            raise DatasetError(
                f"Every class folder must hold images, but {shorten_list(listing.empty_classes)} "
                f"in {tree.root} have none; add images, remove the folders, or leave them out with "
                f"`{again} --skip-empty`."
            )
        return tree, replace(listing, left_out=count_leftovers(tree, listing))
    except OSError as error:
        raise DatasetError(
            f"The source of {spec.name} can't be read or written ({error}); "
            "check its path and rights and the free disk space."
        ) from error


def _check_options(workers: int | None, size: int | None) -> None:
    """Raises `DatasetError` if the number of workers or the image size is out of range."""
    if workers is not None and workers < 1:
        raise DatasetError(f"workers must be ≥ 1, but got workers={workers}.")
    if size is not None and not SMALLEST_PX <= size <= LARGEST_PX:
        raise DatasetError(f"size must lie in {SMALLEST_PX}…{LARGEST_PX} pixels, but got {size}.")


def _check_existing(
    spec: DatasetSpec, directory: Path, source: Path | None, size: int | None, again: str
) -> Manifest:
    """Returns the manifest of the existing data.

    Raises `DatasetError` if size or source differ from it.

    again: the command that prepares the wanted data.
    """
    manifest = read_manifest(directory)
    if source is None and Path(manifest.source).exists():  # a download may be gone
        again += " " + quote("--source", manifest.source)
    remedy = f"use another folder with --data, or replace them with `{again} --overwrite`."
    if size is not None and size != manifest.image_size:
        raise DatasetError(
            f"The images in {directory} have {manifest.image_size} px, not {size}; {remedy}"
        )
    if source is not None:
        from datasets.archives.tree import fingerprint

        if fingerprint(_open_source(spec, source)) != manifest.source_fingerprint:
            made = f"from another source ({manifest.source}), not from {source}"
            if str(source.resolve()) == manifest.source:
                made = f"from {source} before its files changed"
            raise DatasetError(f"The images in {directory} were made {made}; {remedy}")
    return manifest


def _open_source(spec: DatasetSpec, source: Path) -> Source:
    """Opens a source in the dataset's own way, or as a folder or zip archive."""
    from datasets.archives.tree import open_tree

    return (spec.open_source or open_tree)(source)


def _find_source(spec: DatasetSpec, source: Path | None, data: Path) -> Path:
    """Returns the source's path; downloads or generates the source if the user named none."""
    if source is None and spec.archive is not None:
        from datasets.sources.download import fetch

        source = fetch(spec.archive, data / "downloads" / Path(spec.archive.url).name)
    elif source is None and spec.generate is not None:
        source = data / spec.name / "source"
        if not source.exists():
            _generate(spec.generate, source)
    elif source is None:
        raise DatasetError(
            f"{spec.name} needs images of yours; name them with --source ZIP or --source FOLDER, "
            "or with --data where they are prepared already."
        )
    return source


def _generate(generate: Callable[[Path], None], folder: Path) -> None:
    """Generates a source in an empty folder beside `folder`, and renames it once it is complete."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    generate(partial)
    partial.replace(folder)


def parser() -> Parser:
    """Builds the parser of the command line."""
    result = Parser(
        prog="python -m datasets.prepare",
        description="Makes a dataset ready to train on.",
        epilog="datasets: " + "; ".join(f"{s.name} – {s.summary}" for s in DATASETS.values()),
    )
    result.add_argument("name", metavar="NAME", help="one of the datasets below")
    result.add_argument("--source", type=Path, metavar="FILE|DIR", help="archive or folder")
    result.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where to put it, as DIR/NAME (default: data)",
    )
    result.add_argument(
        "--workers", type=int, metavar="N", help="decoding processes (default: one a core)"
    )
    result.add_argument(
        "--size",
        type=int,
        metavar="PX",
        help="side of the stored images in pixels (default: the dataset's own)",
    )
    result.add_argument("--skip-broken", action="store_true", help="leave broken images out")
    result.add_argument(
        "--skip-empty", action="store_true", help="leave class folders without images out"
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
        f"{manifest.dataset}: {len(manifest.class_ids)} classes, {manifest.train_images:,} train "
        f"+ {manifest.val_images:,} val + {manifest.test_images:,} test images of "
        f"{manifest.image_size} px{skipped}\n"
        f"in {directory} ({total / 1e6:,.0f} MB), from {manifest.source}\n"
        f"fingerprint {manifest.fingerprint[:16]}"
    )


def remarks(manifest: Manifest) -> list[str]:
    """Returns a line for each reason why something in the source wasn't taken, for each kind of
    copies, and for constant channels.
    """
    channels = zip(("red", "green", "blue"), manifest.std, strict=True)
    constant = [name for name, std in channels if not std]
    shifted = [f"constant in all training images, so shifted and not scaled: {', '.join(constant)}"]
    found = describe_left_out(manifest.left_out) + describe_copies(manifest.copies)
    return found + (shifted if constant else [])


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options: dict[str, Any] = vars(parser().parse_args(arguments))
    directory = options["data"] / options["name"]
    check = options.pop("verify")
    try:
        manifest = prepare(**options)
        if check:
            verify(directory)
    except UserError as error:
        return refuse(error)
    except KeyboardInterrupt:
        refuse("interrupted; nothing half-made was kept.")
        return INTERRUPTED
    print(summary(manifest, directory) + ", verified" * check, *remarks(manifest), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
