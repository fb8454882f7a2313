"""Writes predictions as text, CSV, JSON, or as Tiny ImageNet's evaluation server took them.

Each format is written image by image, so that any number of them takes no memory.
"""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Protocol, TextIO

from common.files import open_atomically, remove_leftovers
from common.text import printable
from datasets.census.left_out import LeftOut
from trainables.final_model.description import Description
from trainables.final_model.inference.image_files import LeftOutFile

SCHEMA_VERSION = 1
"""The layout of JSON files has this number, which changes when a reader must change."""

COLUMNS = ("path", "rank", "class_id", "class_name", "probability", "error")
"""A CSV file has these columns: a row for each image and rank, or one with its error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """A guess is one of the likeliest classes of an image.

    rank: 1 for the likeliest class.
    probability: its softmax probability, with seven digits.
    """

    rank: int
    class_id: str
    class_name: str
    probability: float


class Writer(Protocol):
    """A writer takes the images in order. `end` is called once, after the last one."""

    def add(self, path: Path, guesses: Sequence[Guess]) -> None:
        """Writes the guesses for an image, best first."""

    def leave_out(self, file: LeftOutFile) -> None:
        """Writes that a file has no predictions, and why."""

    def end(self, images: int, hidden: dict[str, LeftOut]) -> None:
        """Writes what follows the last image: how many there were, and what stayed hidden."""


class TextWriter:
    """A `TextWriter` prints each image for people; `predict` itself prints the errors."""

    def add(self, path: Path, guesses: Sequence[Guess]) -> None:
        """Prints the path, and a line for each class."""
        lines = [f"  {each.probability:6.1%}  {printable(each.class_name)}" for each in guesses]
        print(printable(str(path)), *lines, sep="\n", flush=True)

    def leave_out(self, file: LeftOutFile) -> None:
        """Prints nothing, as a table has all."""

    def end(self, images: int, hidden: dict[str, LeftOut]) -> None:
        """Prints nothing, as a table has all."""


class CsvWriter:
    """A `CsvWriter` writes rows of `COLUMNS`. Control characters in names become escapes, so that
    a row is a line.
    """

    def __init__(self, file: TextIO) -> None:
        self._rows = csv.writer(file, lineterminator="\n")
        self._rows.writerow(COLUMNS)

    def add(self, path: Path, guesses: Sequence[Guess]) -> None:
        """Writes a row for each guess."""
        shown = printable(str(path))
        for each in guesses:
            names = printable(each.class_id), printable(each.class_name)
            self._rows.writerow((shown, each.rank, *names, each.probability, ""))

    def leave_out(self, file: LeftOutFile) -> None:
        """Writes a row with the path and the error alone."""
        self._rows.writerow((printable(file.path), "", "", "", "", printable(file.sentence)))

    def end(self, images: int, hidden: dict[str, LeftOut]) -> None:
        """Writes nothing more at the end."""


class JsonWriter:
    """A `JsonWriter` writes one JSON object in ASCII, with a line for each image."""

    def __init__(self, file: TextIO, model: dict[str, Any]) -> None:
        self._file, self._left_out = file, list[LeftOutFile]()
        head = {"schema_version": SCHEMA_VERSION, "model": model}
        self._file.write(f'{json.dumps(head, allow_nan=False)[:-1]}, "images": [')
        self._comma = ""

    def add(self, path: Path, guesses: Sequence[Guess]) -> None:
        """Writes an object for the image."""
        image = {
            "path": str(path),
            "predictions": [
                {name: getattr(each, name) for name in COLUMNS[1:-1]} for each in guesses
            ],
        }
        self._file.write(f"{self._comma}\n{json.dumps(image, allow_nan=False)}")
        self._comma = ","

    def leave_out(self, file: LeftOutFile) -> None:
        """Keeps the file for the end."""
        self._left_out.append(file)

    def end(self, images: int, hidden: dict[str, LeftOut]) -> None:
        """Writes what was left out, and the counts."""
        left_out = [{"path": file.path, "error": file.sentence} for file in self._left_out]
        counts = {"images": images, "left_out": len(left_out)}
        tail = {"left_out": left_out, "hidden": hidden, "counts": counts}
        self._file.write(f"\n], {json.dumps(tail, allow_nan=False)[1:]}\n")


class SubmissionWriter:
    """A `SubmissionWriter` writes a line for each image: file name, blank, id of the class."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def add(self, path: Path, guesses: Sequence[Guess]) -> None:
        """Writes the likeliest class of an image."""
        self._file.write(f"{path.name} {guesses[0].class_id}\n")

    def leave_out(self, file: LeftOutFile) -> None:
        """Writes nothing; the command's summary counts what is missing."""

    def end(self, images: int, hidden: dict[str, LeftOut]) -> None:
        """Writes nothing more at the end."""


@contextmanager
def open_output(path: str) -> Iterator[TextIO]:
    """Opens a file that replaces `path` at the end of the block, or standard output for «-».

    An error in the block leaves `path` as it was. What a killed process left beside it is removed.
    """
    if path == "-":
        yield sys.stdout
        sys.stdout.flush()
        return
    target = Path(path)
    if target.parent.is_dir():
        remove_leftovers(target.parent, target.name)
    with open_atomically(target) as binary:
        file = TextIOWrapper(binary, encoding="utf-8", newline="", write_through=False)
        yield file
        file.flush()
        file.detach()


def describe_model(path: Path, back_end: str, description: Description) -> dict[str, Any]:
    """Returns what JSON files tell of the model: where it is, what computed, and its classes."""
    return {
        "path": str(path),
        "back_end": back_end,
        "network": description.config["network"],
        "test_top1": description.test_top1,
        "dataset_fingerprint": description.fingerprint,
        "class_ids": list(description.class_ids),
        "class_names": list(description.class_names),
    }
