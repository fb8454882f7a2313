"""Finds the images that a user names: files, folders with all that they hold, and patterns."""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import UserError
from datasets.archives.hidden import hidden_reason
from datasets.census.image_formats import HEAD_BYTES, has_image_suffix, is_image_head
from datasets.census.left_out import Census, Reason


class ImageError(UserError):
    """This error says that an image can't be read; its message names the image and the reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOutFile:
    """A `LeftOutFile` is what a user named, or a folder holds, and no network sees.

    path: the path, as the user would write it.
    sentence: rule, value and remedy.
    """

    path: str
    sentence: str


@dataclass(kw_only=True, slots=True)
class FoundFiles:
    """A `FoundFiles` holds what was found under the names that a user gave.

    images: the files to be read, each once, in the order of the names; within a folder by name,
    where a number counts as such.
    left_out: what can't be an image.
    hidden: hidden files and those of other programs, and links to a folder that they lie in.
    repeated: how many further times images were named.
    """

    images: list[Path] = field(default_factory=list)
    left_out: list[LeftOutFile] = field(default_factory=list)
    hidden: Census = field(default_factory=Census)
    repeated: int = 0


def find_images(names: Sequence[Path]) -> FoundFiles:
    """Finds the images under each name, and reads none of them.

    A name is a file, a folder, or a pattern as a shell knows it, where `**` stands for any folders.
    A file that was named is an image until reading it fails; in a folder, an image is known by its
    suffix or its first bytes.
    """
    found, seen = FoundFiles(), set[str]()
    for name in names:
        for path in _expand(name, found):
            for file in _walk(path, found) if path.is_dir() else (path,):
                place = os.path.abspath(file)  # noqa: PTH100 # `resolve` would follow links
                found.repeated += place in seen
                if place not in seen:
                    seen.add(place)
                    found.images.append(file)
    return found


def natural_order(name: str) -> list[str | int]:
    """Returns a key by which names sort as people count: test_2 comes before test_10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _expand(name: Path, found: FoundFiles) -> list[Path]:
    """Returns what matches a name: itself, unless nothing has that name and it is a pattern."""
    if os.path.lexists(name) or not glob.has_magic(str(name)):
        return [name]
    matches = sorted(glob.glob(str(name), recursive=True), key=natural_order)  # noqa: PTH207
    if not matches:
        sentence = f"{name} must match a file or a folder, but nothing does; check its path."
        found.left_out.append(LeftOutFile(path=str(name), sentence=sentence))
    return [Path(match) for match in matches]


def _walk(start: Path, found: FoundFiles) -> Iterator[Path]:
    """Yields the images in a folder and in those below it; notes what else lies there."""
    waiting, any_image = [(start, frozenset[tuple[int, int]]())], False
    while waiting:
        folder, above = waiting.pop()
        try:
            here = folder.stat()
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda entry: natural_order(entry.name))
        except OSError as error:
            cause = (error.strerror or str(error)).lower()
            sentence = f"{folder} can't be read: {cause}; check your right to read it."
            found.left_out.append(LeftOutFile(path=str(folder), sentence=sentence))
            continue
        inside = above | {(here.st_dev, here.st_ino)}
        folders = []
        for entry in entries:
            path = folder / entry.name
            if (reason := hidden_reason(entry.name)) is not None:
                found.hidden.add(reason, str(path))
            elif entry.is_dir():
                status = entry.stat()
                if (status.st_dev, status.st_ino) in inside:
                    found.hidden.add(Reason.LOOP, str(path))
                else:
                    folders.append((path, inside))
            elif has_image_suffix(entry.name) or is_image_head(_read_head(path)):
                any_image = True
                yield path
            else:
                sentence = f"{path} must be an image, but is in no format that is read; remove it."
                found.left_out.append(LeftOutFile(path=str(path), sentence=sentence))
        waiting += reversed(folders)
    if not any_image:
        sentence = f"{start} must hold images, but holds none; name another folder."
        found.left_out.append(LeftOutFile(path=str(start), sentence=sentence))


def _read_head(path: Path) -> bytes:
    """Returns the first bytes of a file, or none of what can't be read or is no file."""
    if not path.is_file():
        return b""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""
