"""Tells which paths of a source aren't listed because of their names."""

from datasets.census.left_out import Reason

_OTHER_PROGRAMS = frozenset(
    {
        "__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information",
        "lost+found", "thumbs.db", "desktop.ini",
    }
)  # fmt: skip
"""Archivers, network disks and file managers leave files and folders of these names behind."""


def hidden_reason(path: str) -> Reason | None:
    """Returns why a path isn't listed by its name: a part begins with a dot, or is another
    program's.
    """
    for part in path.split("/"):
        if part.startswith("."):
            return Reason.HIDDEN
        if part.lower() in _OTHER_PROGRAMS:
            return Reason.OTHER_PROGRAM
    return None
