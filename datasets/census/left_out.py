"""Counts what a source holds and a conversion leaves out, by reason."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypedDict

from common.text import printable

EXAMPLES = 5
"""At most this many paths stand for all that were left out for the same reason, and at most this
many groups of equal images for all of a kind.
"""
_SHOWN = 3


class Reason(StrEnum):
    """A reason says why something isn't among the images; its value is the manifest's key."""

    NOT_AN_IMAGE = "not_an_image"
    WITHOUT_CLASS = "without_class"
    UNLABELLED = "unlabelled"
    OUTSIDE = "outside"
    HIDDEN = "hidden"
    OTHER_PROGRAM = "other_program"
    BROKEN_LINK = "broken_link"
    LOOP = "loop"
    NO_FILE = "no_file"
    REPLACED = "replaced"
    EMPTY_FOLDER = "empty_folder"


_MEANING = {
    Reason.NOT_AN_IMAGE: "not in a format that is read",
    Reason.WITHOUT_CLASS: "directly in a split's folder, so without a class: move them into class "
    "folders",
    Reason.UNLABELLED: "images outside the folders of the splits, so without a label",
    Reason.OUTSIDE: "other files outside the folders of the splits",
    Reason.HIDDEN: "hidden files and folders",
    Reason.OTHER_PROGRAM: "files and folders of other programs",
    Reason.BROKEN_LINK: "links to something that is missing",
    Reason.LOOP: "links to a folder that the link lies in",
    Reason.NO_FILE: "pipes, sockets and devices",
    Reason.REPLACED: "older entries of a path that the archive lists again",
    Reason.EMPTY_FOLDER: "class folders without images",
}


class LeftOut(TypedDict):
    """This mapping counts the things left out for one reason, and has the first printable paths."""

    count: int
    examples: list[str]


class Census:
    """A census counts what was left out of a source, by reason, with the first few paths."""

    def __init__(self) -> None:
        self._found: dict[Reason, LeftOut] = {}

    def add(self, reason: Reason, path: str) -> None:
        """Counts one thing that was left out, and remembers its path if few came before."""
        found = self._found.setdefault(reason, LeftOut(count=0, examples=[]))
        found["count"] += 1
        if len(found["examples"]) < EXAMPLES:
            found["examples"].append(printable(path))

    def facts(self) -> dict[str, LeftOut]:
        """Returns what was left out by reason, in the order of `Reason`, for the manifest."""
        return {
            reason.value: LeftOut(count=found["count"], examples=list(found["examples"]))
            for reason in Reason
            if (found := self._found.get(reason))
        }

    def copy(self) -> "Census":
        """Returns a census with the same counts that can be added to on its own."""
        other = Census()
        other._found = {Reason(reason): found for reason, found in self.facts().items()}
        return other


def describe_left_out(left_out: Mapping[str, LeftOut]) -> list[str]:
    """Returns a line for each reason, such as «left out: 3 hidden files and folders (.git, …)»."""
    return [
        f"left out: {found['count']:,} {_MEANING[Reason(reason)]} ({_some(found)})"
        for reason, found in left_out.items()
    ]


def _some(found: LeftOut) -> str:
    more = ", …" if found["count"] > _SHOWN else ""
    return ", ".join(found["examples"][:_SHOWN]) + more
