"""Finds and opens a dataset's source, and lists its images."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from datasets.archives.tree import fingerprint, open_tree
from datasets.census.names import shorten_list
from datasets.sources.download import fetch
from datasets.sources.image_sizes import measure_sizes
from datasets.sources.leftovers import count_leftovers
from datasets.spec import DatasetError, DatasetSpec, Listing, Source, point_to_list


def list_source(
    spec: DatasetSpec,
    source: Path | None,
    data: Path,
    zip_encoding: str | None,
    again: str,
    *,
    skip_empty: bool,
) -> tuple[Source, Listing]:
    """Opens the source and lists its images, with a count of all that isn't among them, and with
    their sizes if they have no size of their own.

    Raises `DatasetError` for what the source lacks, and for an empty class folder unless
    `skip_empty` is set.

    again: the command that prepares the same data, to which remedies add options.
    """
    try:
        tree = open_source(spec, _find_source(spec, source, data), zip_encoding)
        listing = spec.list_samples(tree)
        if listing.empty_classes and not skip_empty:
            raise DatasetError(
                f"Every class folder must hold images, but {shorten_list(listing.empty_classes)} "
                f"in {tree.root} have none; add images, remove the folders, or leave them out with "
                f"`{again} --skip-empty`."
            )
        samples = (*listing.train, *listing.test)
        sizes = measure_sizes(tree, samples) if spec.any_size else None
        left_out, code_page = count_leftovers(tree, listing), tree.code_page()
        return tree, replace(listing, left_out=left_out, sizes=sizes, code_page=code_page)
    except OSError as error:
        raise DatasetError(
            f"The source of {spec.name} can't be read or written ({error}); "
            "check its path and rights and the free disk space."
        ) from error


def open_source(spec: DatasetSpec, source: Path, zip_encoding: str | None) -> Source:
    """Opens a source in the dataset's own way, or as a folder or zip archive.

    zip_encoding: the encoding of unmarked names in a zip archive, if the user names it.
    """
    if spec.open_source and zip_encoding is None:
        return spec.open_source(source)
    return open_tree(source, zip_encoding)


def check_source(spec: DatasetSpec, source: Path | None, data: Path) -> None:
    """Raises `DatasetError` if the user must name a source and has named none."""
    if source is None and spec.archive is None and spec.generate is None:
        raise DatasetError(
            f"{spec.name} needs images of yours; name them with --source ZIP or --source FOLDER, "
            f"or with --data where they are prepared already{point_to_list(data)}."
        )


def fingerprint_source(spec: DatasetSpec, source: Path, zip_encoding: str | None) -> str:
    """Returns the fingerprint of the files of a source, as manifests state it."""
    return fingerprint(open_source(spec, source, zip_encoding))


def _find_source(spec: DatasetSpec, source: Path | None, data: Path) -> Path:
    """Returns the source's path; downloads or generates the source if the user named none."""
    if source is None and spec.archive is not None:
        source = fetch(spec.archive, data / "downloads" / Path(spec.archive.url).name)
    elif source is None and spec.generate is not None:
        source = data / spec.name / "source"
        if not source.exists():
            _generate(spec.generate, source)
    assert source is not None  # as `check_source` has seen
    return source


def _generate(generate: Callable[[Path], None], folder: Path) -> None:
    """Generates a source in an empty folder beside `folder`, and renames it once it is complete.
    A part of it is removed.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        generate(partial)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
