"""Limits what an archive may unpack to, and tells damaged archives from other failures.

An archive from elsewhere may be damaged, or made to fill a machine's memory or time.
"""

import errno

from datasets.spec import DatasetError

LARGEST_FILE_BYTES = 1 << 29
"""A file in an archive, or in a folder of images, may have at most this many bytes.

The largest file that the project reads, CIFAR-100's training images, has 155 MB.
"""

MAX_RATIO = 200
"""An archive may unpack to at most this many times its own size, plus `ALLOWANCE_BYTES`.

Images hardly shrink when they are compressed, and tables of labels shrink about ten times. Deflate
reaches a ratio of 1,032 only with data that is all zeros.
"""

ALLOWANCE_BYTES = 1 << 26
"""Any archive may unpack to this many bytes, however small the archive is."""


def max_unpacked_bytes(packed: int) -> int:
    """Returns how many bytes an archive of `packed` bytes may unpack to."""
    return ALLOWANCE_BYTES + MAX_RATIO * packed


def limit_error(archive: object, found: str) -> DatasetError:
    """Returns the error for an archive that exceeds a limit; `found` says in words what is too
    much.
    """
    return DatasetError(
        f"{archive} is refused, because {found}, as images never do; use an archive from a source "
        "that you trust, or pass the extracted folder."
    )


def is_damage(error: Exception) -> bool:
    """Returns whether `error` means that an archive's content is at fault.

    Python's readers raise a dozen types for damaged content. `MemoryError` and errors of the disk
    aren't damage. An invalid argument (`EINVAL`) is: a damaged archive names positions outside of
    its file.
    """
    if isinstance(error, OSError):
        return error.errno in (None, errno.EINVAL)
    return not isinstance(error, MemoryError | DatasetError)
