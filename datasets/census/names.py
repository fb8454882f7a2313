"""Gives files and classes one spelling each, and refuses names that can't be shown safely."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

from common.text import is_unsafe, printable

_DRIVE = re.compile(r"[A-Za-z]:")


def quote_name(name: str) -> str:
    """Returns a name in « », printable, and with blanks at its ends as `\\x20`, so that names which
    look alike differ.
    """
    start, end = len(name) - len(name.lstrip()), len(name.rstrip())
    ends = [_blanks(name[:start]), name[start:end], _blanks(name[max(start, end) :])]
    return f"«{printable(''.join(ends))}»"


def _blanks(text: str) -> str:
    return "".join(f"\\x{ord(char):02x}" for char in text)


def normalise_entry(name: str) -> str:
    """Returns the path of an archive's entry with `/` between its parts and without `.` parts.

    A folder's path ends in `/`. Raises `ValueError` for a path that leads out of the archive's
    folder.
    """
    path = name.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or _DRIVE.match(path):
        raise ValueError("would escape its folder")
    return "/".join(parts) + ("/" if path.endswith("/") and parts else "")


def normalise_name(name: str) -> str:
    """Returns the name in Unicode's composed form (NFC); macOS stores the decomposed one (NFD)."""
    return unicodedata.normalize("NFC", name)


def find_name_faults(split: str, names: Collection[str]) -> list[str]:
    """Returns a sentence for each faulty name among the class folders of one split.

    A name must be UTF-8, without control characters and without blanks at its ends, and no other
    name in the split may have the same composed form.
    """
    alike = defaultdict[str, list[str]](list)
    for name in sorted(names):
        alike[normalise_name(name)].append(name)
    faults = [
        f"The class folder {quote_name(name)} in {split} {fault}; rename the folder."
        for name in sorted(names)
        if (fault := _name_fault(name))
    ]
    twins = [
        f"The class folders {' and '.join(map(ascii, same))} in {split} are one name in two "
        "Unicode forms; put their images into one folder."
        for same in alike.values()
        if len(same) > 1
    ]
    return faults + twins


def _name_fault(name: str) -> str | None:
    if any(unicodedata.category(char) == "Cs" for char in name):
        return "has a name that is not UTF-8"
    if any(map(is_unsafe, name)):
        return "has control characters in its name"
    if name != name.strip():
        return "has a name with blanks at its ends"
    return None


def find_twin(name: str, others: Iterable[str]) -> str | None:
    """Returns one of `others` that differs from `name` in case alone, if there is one."""
    return next((each for each in others if each.casefold() == name.casefold()), None)


def tell_apart(ids: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Returns the display names of the classes, with its id behind each that several share."""
    shared = Counter(names)
    return tuple(
        f"{name} ({class_id})" if shared[name] > 1 else name
        for class_id, name in zip(ids, names, strict=True)
    )


def shorten_list(names: Sequence[str], shown: int = 5) -> str:
    """Returns the first `shown` names in one line, printable, and the number of the others."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(map(printable, names[:shown])) + more
