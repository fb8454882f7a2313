"""Commands as another user of this machine, and with disks of their own, which only root makes."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

STRANGER, NEIGHBOUR = 54321, 54322
"""User ids that no account of this machine has."""

_PYTHON = Path(sys.base_prefix)
_CLOSED = [path for path in _PYTHON.parents if not path.stat().st_mode & 0o001]
"""Python itself may lie in a home folder that others can't enter."""


def as_user(user: int, command: Sequence[str]) -> list[str]:
    """The command with the rights of that user, who can read Python's own files: where they lie in
    somebody's home, that home is hidden in a namespace of the command's own but for them.
    """
    become = [
        "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all",
        "--bounding-set=-all",
    ]  # fmt: skip
    if not _CLOSED:
        return [*become, *command]
    show = (
        f"mount -t tmpfs none /mnt && mkdir /mnt/python && mount --bind {_PYTHON} /mnt/python && "
        f"mount -t tmpfs -o mode=755 none {_CLOSED[-1]} && mkdir -p {_PYTHON} && "
        f'mount --bind /mnt/python {_PYTHON} && exec "$@"'
    )
    return [*apart(show), *become, *command]


def apart(script: str) -> list[str]:
    """The beginning of a command that runs a shell script in mounts of its own, where `$@` is what
    follows.
    """
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]


@contextmanager
def folder_of(user: int) -> Iterator[Path]:
    """A new short folder of that user."""
    path = Path(mkdtemp(dir="/tmp"))
    os.chown(path, user, user)
    try:
        yield path
    finally:
        shutil.rmtree(path)
