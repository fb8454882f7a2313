"""A disk of a few megabytes that can be filled, freed, and made read-only.

It is a tmpfs in a mount namespace of one process's own (`unshare`, util-linux), which goes with
that process: nothing outside sees it, and no rights of root are needed.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.drills.searches import ENVIRONMENT, PATIENCE_S, ROOT

MOUNT = 'mount -t tmpfs -o "size=$1" none "$2" && shift 2 && exec "$@"'
FILLER = "filler"


def on_small_disk(
    directory: Path, size: str, module: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Runs a module with `directory`, an empty disk of `size` (as `8m`), as its first argument."""
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh"]
    command = [sys.executable, "-m", module, str(directory), *arguments]
    return subprocess.run(
        [*unshare, size, str(directory), *command],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=PATIENCE_S,
    )  # fmt: skip


def fill(directory: Path) -> None:
    """Leaves no page free. What lies in a file's last page already can still be added to."""
    with (directory / FILLER).open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def free(directory: Path) -> None:
    (directory / FILLER).unlink()


def remount(directory: Path, option: str) -> None:
    """`size=64m`, `ro` or `rw`."""
    mount: Sequence[str] = ["mount", "-o", f"remount,{option}", str(directory)]
    subprocess.run(mount, check=True)


def sizes(directory: Path) -> dict[str, int]:
    """Every file below a directory."""
    return {
        str(path.relative_to(directory)): path.stat().st_size
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
