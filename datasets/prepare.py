"""Makes a dataset ready to train on: `python -m datasets.prepare tiny-imagenet`."""

import os
import sys
from pathlib import Path
from typing import Any

from common.cli import INTERRUPTED, Parser, refuse
from common.errors import UserError
from datasets.manifest import FILE_NAME, Manifest, read_manifest, verify
from datasets.registry import DATASETS, find_dataset
from datasets.spec import DatasetError, DatasetSpec, Tree

SMALLEST_PX, LARGEST_PX = 16, 512


def prepare(
    name: str,
    *,
    source: Path | None = None,
    data: Path = Path("data"),
    workers: int | None = None,
    size: int | None = None,
    skip_broken: bool = False,
    overwrite: bool = False,
) -> Manifest:
    """The manifest of `data`/`name`, converted first where it isn't there yet.

    source: archive or folder, of the kinds that this dataset takes; without it the dataset is
    downloaded or generated where it can be.
    workers: decoding processes, by default one a core; the result doesn't depend on them.
    size: side in pixels, by default the dataset's own. Raises `DatasetError` for everything a
    user can put right, above all when other data is there already and `overwrite` is not set.
    """
    spec = find_dataset(name)
    _check_options(workers, size)
    directory = data / name
    if not overwrite and (directory / FILE_NAME).exists():
        return _existing(spec, directory, source, size)
    from common.files import lock_folder

    with lock_folder(directory):
        # Another process may have finished the work while this one waited.
        if not overwrite and (directory / FILE_NAME).exists():
            return _existing(spec, directory, source, size)
        try:
            tree = _open(spec, _find_source(spec, source, data))
            listing = spec.list_samples(tree)
        except OSError as error:
            raise DatasetError(
                f"The source of {name} can't be read or written ({error}); "
                "check its path and rights and the free disk space."
            ) from error
        from datasets.beton.convert import convert

        return convert(
            name,
            tree,
            listing,
            directory,
            size=size or spec.image_size,
            workers=workers or len(os.sched_getaffinity(0)),
            skip_broken=skip_broken,
        )


def _check_options(workers: int | None, size: int | None) -> None:
    if workers is not None and workers < 1:
        raise DatasetError(f"workers must be ≥ 1, but got workers={workers}.")
    if size is not None and not SMALLEST_PX <= size <= LARGEST_PX:
        raise DatasetError(f"size must lie in {SMALLEST_PX}…{LARGEST_PX} pixels, but got {size}.")


def _existing(
    spec: DatasetSpec, directory: Path, source: Path | None, size: int | None
) -> Manifest:
    """The manifest that is there, if it is what was asked for."""
    manifest = read_manifest(directory)
    remedy = (
        "use another folder with --data, or replace them with "
        "`python -m datasets.prepare … --overwrite`."
    )
    if size is not None and size != manifest.image_size:
        raise DatasetError(
            f"The images in {directory} have {manifest.image_size} px, not {size}; {remedy}"
        )
    if source is not None:
        from datasets.archives.tree import fingerprint

        if fingerprint(_open(spec, source)) != manifest.source_fingerprint:
            raise DatasetError(
                f"The images in {directory} were made from another source "
                f"({manifest.source}), not from {source}; {remedy}"
            )
    return manifest


def _open(spec: DatasetSpec, source: Path) -> Tree:
    from datasets.archives.tree import open_tree

    return (spec.open_source or open_tree)(source)


def _find_source(spec: DatasetSpec, source: Path | None, data: Path) -> Path:
    """The source, downloaded or generated where none was named."""
    if source is None and spec.archive is not None:
        from datasets.sources.download import fetch

        source = fetch(spec.archive, data / "downloads" / Path(spec.archive.url).name)
    elif source is None and spec.generate is not None:
        source = data / spec.name / "source"
        if not source.exists():
            spec.generate(source)
    elif source is None:
        raise DatasetError(
            f"{spec.name} needs images of yours; name them with --source ZIP or --source FOLDER, "
            "or with --data where they are prepared already."
        )
    return source


def parser() -> Parser:
    """The command line."""
    made = Parser(
        prog="python -m datasets.prepare",
        description="Makes a dataset ready to train on.",
        epilog="datasets: " + "; ".join(f"{s.name} – {s.summary}" for s in DATASETS.values()),
    )
    made.add_argument("name", metavar="NAME", help="one of the datasets below")
    made.add_argument("--source", type=Path, metavar="FILE|DIR", help="archive or folder")
    made.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where to put it, as DIR/NAME (default: data)",
    )
    made.add_argument(
        "--workers", type=int, metavar="N", help="decoding processes (default: one a core)"
    )
    made.add_argument(
        "--size",
        type=int,
        metavar="PX",
        help="side of the stored images in pixels (default: the dataset's own)",
    )
    made.add_argument("--skip-broken", action="store_true", help="leave broken images out")
    made.add_argument("--overwrite", action="store_true", help="replace what is there")
    made.add_argument("--verify", action="store_true", help="read everything back and compare")
    return made


def summary(manifest: Manifest, directory: Path) -> str:
    """Three lines for people."""
    total = sum(facts["bytes"] for facts in manifest.files.values())
    skipped = f", {len(manifest.skipped)} broken left out" if manifest.skipped else ""
    return (
        f"{manifest.dataset}: {len(manifest.class_ids)} classes, {manifest.train_images:,} train "
        f"+ {manifest.val_images:,} val + {manifest.test_images:,} test images of "
        f"{manifest.image_size} px{skipped}\n"
        f"in {directory} ({total / 1e6:,.0f} MB), from {manifest.source}\n"
        f"fingerprint {manifest.fingerprint[:16]}"
    )


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
    print(summary(manifest, directory) + (", verified" if check else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
