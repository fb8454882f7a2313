"""Reads and writes what a user says about a run: a note and tags, in a file beside its records.

They are no part of the run's signed records, so that they can change at any time, also while the
search runs.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from common.errors import RecordError, UserError
from common.files import read_json, write_text_atomically
from common.json_records import JsonRecord

ANNOTATIONS = "annotations.json"
"""A run directory holds the note and the tags in this file."""

TAG = re.compile(r"[\w.-]{1,40}")
"""A tag consists of so many letters, digits, dots, underscores and hyphens."""

LONGEST_NOTE = 2000
"""A note has at most this many characters."""


class AnnotationError(UserError):
    """Reports a note or tags that can't be stored; `errors` holds one sentence for each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotations(JsonRecord):
    """Holds what a user says about a run: a `note`, which may be empty, and sorted `tags`."""

    note: str = ""
    tags: list[str] = field(default_factory=list)


def read_annotations(directory: Path) -> Annotations:
    """Returns the note and the tags of a run, which are empty where it has none. Raises
    `RecordError` for a damaged file, and `OSError` for one that this user can't read.
    """
    path = directory / ANNOTATIONS
    try:
        return Annotations.from_json(read_json(path))
    except FileNotFoundError:
        return Annotations()
    except PermissionError:
        raise
    except (OSError, ValueError, AttributeError, RecursionError, RecordError) as error:
        raise RecordError(
            f"{path} is damaged ({error}); remove it, and write the note and the tags anew by "
            "`python -m results.annotate`."
        ) from error


def annotate(
    directory: Path,
    *,
    note: str | None = None,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
) -> Annotations:
    """Changes what a user says about a run, and returns it.

    note: the new note, an empty one for none, or `None` to keep it.
    add, remove: tags that the run then has, or no longer has.

    Raises `AnnotationError` for a note or tags that can't be stored, `RecordError` for a damaged
    file, and `OSError` where it can't be written.
    """
    add, remove = list(add), list(remove)
    before = read_annotations(directory)
    errors = [
        f"a tag must have 1…40 letters, digits, dots, underscores or hyphens, but got {tag!r}; "
        "separate several tags by blanks."
        for tag in add
        if not TAG.fullmatch(tag)
    ]
    errors += [
        f"--untag must name a tag of the run, but got {tag!r}; its tags are "
        f"{', '.join(before.tags) or 'none'}."
        for tag in remove
        if tag not in before.tags
    ]
    if note is not None and len(note) > LONGEST_NOTE:
        errors.append(
            f"a note must have at most {LONGEST_NOTE:,} characters, but got {len(note):,}; "
            "keep longer texts in a file of your own."
        )
    if errors:
        raise AnnotationError(errors)
    after = Annotations(
        note=before.note if note is None else note,
        tags=sorted({*before.tags, *add} - set(remove)),
    )
    text = json.dumps(asdict(after), indent=1, ensure_ascii=False)
    write_text_atomically(directory / ANNOTATIONS, text + "\n")
    return after
