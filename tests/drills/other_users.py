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

_HOME = Path(sys.base_prefix).parents[-2]
"""Python itself may lie in a home folder that others can't enter."""


def as_user(user: int, command: Sequence[str]) -> list[str]:
    """The command with the rights of that user, who can read Python's own files: where they lie in
    somebody's home, that home is hidden in a namespace of the command's own but for them.
    """
    python = Path(sys.base_prefix)
    shown = f"/run/{_HOME.name}-python"
    script = (
        f"mkdir -p {shown} && mount --bind {python} {shown} && "
        f"mount -t tmpfs -o mode=755 none {_HOME} && mkdir -p {python} && "
        f"mount --bind {shown} {python} && exec setpriv --reuid {user} --regid {user} "
        '--clear-groups --inh-caps=-all --bounding-set=-all "$@"'
    )
    return [*apart(script), *command]


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
