"""What archives from elsewhere may be: damaged, or made to fill a machine's memory or its time."""

import errno

from datasets.spec import DatasetError

LARGEST_FILE_BYTES = 1 << 29
"""Of a file in an archive. CIFAR-100's training images, the largest that is read, are 155 MB."""

MOST_TIMES = 200
"""How many times its own size an archive may unpack to. Images hardly shrink, tables of labels
some ten times; deflate reaches 1,032 times with nothing but zeros."""

FREE_BYTES = 1 << 26
"""What any archive may unpack to, however small it is."""


def most_bytes(packed: int) -> int:
    """What an archive of `packed` bytes may unpack to."""
    return FREE_BYTES + MOST_TIMES * packed


def limit_error(archive: object, found: str) -> DatasetError:
    """The error for an archive in which `found` is too much."""
    return DatasetError(
        f"{archive} is refused, because {found}, as images never do; use an archive from a source "
        "that you trust, or pass the extracted folder."
    )


def is_damage(error: Exception) -> bool:
    """Whether an archive's content is at fault, for which Python's readers raise a dozen types.

    Memory and the disk are at fault otherwise; but a place outside of the file is an invalid
    argument to the disk.
    """
    if isinstance(error, OSError):
        return error.errno in (None, errno.EINVAL)
    return not isinstance(error, MemoryError | DatasetError)
