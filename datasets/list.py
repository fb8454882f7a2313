"""Lists the datasets that are prepared, what is wrong with any of them, and how to mend that.

python -m datasets.list [--data DIR] [--json]
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from common.cli import Parser, print_json, quote_command, refuse
from common.errors import UserError
from common.files import is_locked
from common.text import printable
from datasets.manifest import (
    FILE_NAME,
    OUTPUTS,
    Manifest,
    has_other_version,
    read_manifest,
)
from datasets.registry import find_prepared

SCHEMA_VERSION = 1
"""`--json` prints this number. It changes when a key goes or gets another meaning, and not when one
is added.
"""


class State(StrEnum):
    """A `State` says whether a folder of prepared data can be used, and if not, why."""

    READY = "ready"
    PREPARING = "preparing"
    UNFINISHED = "unfinished"
    DAMAGED = "damaged"
    OTHER_VERSION = "other_version"
    MISNAMED = "misnamed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An `Entry` describes one folder of prepared data.

    name: the name that commands take, or that of the folder where they don't find it.
    problem: a sentence with the remedy, or `None` if the data can be used.
    size: what the folder takes, in bytes, the kept outputs included.
    outputs: what the kept outputs of frozen stages in it take, in bytes.
    manifest: what is known of the data, or `None` where that can't be read.
    prepared: when the data were prepared, in UTC.
    """

    name: str
    folder: Path
    state: State
    problem: str | None
    size: int
    outputs: int
    manifest: Manifest | None = None
    prepared: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the entry in plain values, as `--json` prints it. Where there is no manifest, all
        that would come from it is `None`.
        """
        known = self.manifest
        images = known and {
            "train": known.train_images,
            "val": known.val_images,
            "test": known.test_images,
        }
        return {
            "name": self.name,
            "state": str(self.state),
            "problem": self.problem,
            "folder": str(self.folder.resolve()),
            "bytes": self.size,
            "frozen_output_bytes": self.outputs,
            "source": known and known.source,
            "classes": known and len(known.class_ids),
            "images": images,
            "image_size": known and known.image_size,
            "prepared_at": self.prepared and f"{self.prepared:%Y-%m-%dT%H:%M:%SZ}",
            "fingerprint": known and known.fingerprint,
        }

    def describe(self) -> Iterator[str]:
        """Yields the entry's lines for people."""
        yield f"{printable(self.name)}  {self.state.replace('_', ' ')}"
        if self.problem:
            yield f"  {printable(self.problem)}"
        if self.manifest:
            yield f"  {self.manifest.describe_images()}"
        size = describe_size(self.size)
        if self.outputs:
            size += f", of which {describe_size(self.outputs)} kept outputs of frozen stages"
        when = f"; prepared {self.prepared.astimezone():%Y-%m-%d %H:%M}" if self.prepared else ""
        yield f"  {size} in {printable(str(self.folder))}{when}"
        if self.manifest:
            yield f"  from {printable(self.manifest.source)}"
            yield f"  fingerprint {self.manifest.fingerprint[:16]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """A `Listing` describes all that lies in a folder of prepared data.

    others: name and size in bytes of each thing there that is no dataset.
    """

    data: Path
    entries: tuple[Entry, ...]
    others: tuple[tuple[str, int], ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the listing in plain values, as `--json` prints it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "data": str(self.data.resolve()),
            "datasets": [entry.to_json() for entry in self.entries],
            "others": [{"name": name, "bytes": size} for name, size in self.others],
        }

    def describe(self) -> Iterator[str]:
        """Yields the listing's lines for people, the sum last."""
        for entry in self.entries:
            yield from entry.describe()
        count = len(self.entries)
        total = describe_size(sum(entry.size for entry in self.entries))
        datasets = f"{count} dataset{'s' * (count != 1)}, {total}," if count else "no dataset"
        yield f"{datasets} in {printable(str(self.data))}"
        if not count:
            make = quote_command("python -m datasets.prepare demo", data=self.data)
            yield f"make one with `{make}`"
        for name, size in self.others:
            about = ", archives that datasets.prepare has fetched" * (name == "downloads")
            yield f"no dataset: {printable(name)} ({describe_size(size)}{about})"


def describe_size(size: int) -> str:
    """Returns a size in bytes as text, with one decimal place below 10."""
    unit, name = (1e9, "GB") if size >= 1e9 else (1e6, "MB") if size >= 1e6 else (1e3, "kB")
    return f"{size / unit:,.{int(size < 10 * unit)}f} {name}"


def list_data(data: Path) -> Listing:
    """Returns what lies in a folder of prepared data; reads manifests and looks at the sizes of
    files, and not at their content. Raises `OSError` for a folder that can't be listed.
    """
    entries, others = list[Entry](), list[tuple[str, int]]()
    for path in sorted(data.iterdir()):
        name = find_prepared(path.name) if path.is_dir() else None
        if name or _has_manifest(path):
            entries.append(_examine(path, name))
        else:
            others.append((path.name, _measure(path)))
    return Listing(data=data, entries=tuple(entries), others=tuple(others))


def _has_manifest(folder: Path) -> bool:
    """Returns whether `folder` holds prepared data in files of the right size."""
    try:
        return bool(read_manifest(folder))
    except (UserError, OSError):
        return False


def _examine(folder: Path, name: str | None) -> Entry:
    """Returns the entry of a folder. A folder whose `name` is `None` is that of no dataset."""
    manifest, prepared = None, None
    state, problem = State.READY, None
    if not os.path.lexists(folder / FILE_NAME) and is_locked(folder):
        state, problem = State.PREPARING, "Another process is at work in this folder; wait for it."
    else:
        try:
            manifest = read_manifest(folder)
            prepared = _when(manifest, folder)
            if name is None:
                state, problem = State.MISNAMED, _misnamed(folder, manifest)
        except (UserError, OSError) as error:
            state, problem = _classify(folder), str(error)
    return Entry(
        name=name or folder.name,
        folder=folder,
        state=state,
        problem=problem,
        size=_measure(folder),
        outputs=_measure(folder / OUTPUTS),
        manifest=manifest,
        prepared=prepared,
    )


def _classify(folder: Path) -> State:
    """Returns why the manifest in `folder` can't be used."""
    if not os.path.lexists(folder / FILE_NAME):
        return State.UNFINISHED
    return State.OTHER_VERSION if has_other_version(folder) else State.DAMAGED


def _misnamed(folder: Path, manifest: Manifest) -> str:
    """Returns a sentence about prepared data in a folder where no command looks for them."""
    return (
        f"Images of {manifest.dataset} must lie in a folder {manifest.folder} to be found, but "
        f"these lie in {folder}; rename it, or leave it where it is a cluster node's own copy."
    )


def _when(manifest: Manifest, folder: Path) -> datetime:
    """Returns when the data were prepared: manifests of older versions don't state it, but were
    written then.
    """
    if manifest.prepared_at:
        return datetime.fromisoformat(manifest.prepared_at)
    return datetime.fromtimestamp((folder / FILE_NAME).stat().st_mtime, UTC)


def _measure(path: Path) -> int:
    """Returns the size in bytes of a file, or of all files below a folder; what can't be looked at,
    or disappears meanwhile, counts nothing.
    """
    sizes = 0
    files = [path] if not path.is_dir() else (Path(d, f) for d, _, fs in os.walk(path) for f in fs)
    for file in files:
        with suppress(OSError):
            sizes += file.lstat().st_size
    return sizes


def parser() -> Parser:
    """Returns the command line's parser, with its options and their help texts."""
    result = Parser(prog="python -m datasets.list", description=__doc__)
    result.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where prepared datasets lie (default: data)",
    )
    result.add_argument(
        "--json", action="store_true", help="print one JSON object, for other programs"
    )
    return result


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line. Returns the exit code: 0, or 2 where the folder can't be listed."""
    options = parser().parse_args(arguments)
    data: Path = options.data
    if not data.is_dir():
        state = "is a file" if data.exists() else "doesn't exist"
        make = quote_command("python -m datasets.prepare demo", data=data)
        return refuse(
            f"--data must name a folder of prepared datasets, but {data} {state}; name another "
            f"one, or make a dataset with `{make}`."
        )
    if (data / FILE_NAME).is_file():
        again = quote_command("python -m datasets.list", data=data.absolute().parent)
        return refuse(
            f"--data must name the folder that prepared datasets lie in, but {data} is a dataset "
            f"itself; use `{again}`."
        )
    try:
        listing = list_data(data)
    except OSError as error:
        return refuse(f"{data} can't be listed ({error.strerror}); check its rights and its disk.")
    if options.json:
        print_json(listing.to_json())
    else:
        print(*listing.describe(), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
