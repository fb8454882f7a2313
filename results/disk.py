"""What is said where a disk takes nothing more."""

import errno
from collections.abc import Iterator
from pathlib import Path

_REFUSALS = {
    errno.ENOSPC: ("is full", "free some space there"),
    errno.EDQUOT: ("has no more room for this user", "free some, or have the quota raised"),
    errno.EROFS: ("is read-only", "make it writable"),
}


def refusal(error: BaseException, directory: Path) -> str | None:
    """One sentence with the remedy where a disk that refuses to be written caused `error`.

    directory: what was being written, where the error names no file.
    """
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in _REFUSALS:
            what, remedy = _REFUSALS[cause.errno]
            return (
                f"The disk that holds {cause.filename or directory} {what}; {remedy}, then go on "
                f"with --resume {directory.name}: all that was recorded is kept."
            )
    return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and whatever led to it, the latest first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
