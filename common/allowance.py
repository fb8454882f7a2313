"""Reads how many cores and how much memory this process may use: those of the machine, or fewer
where an affinity or a control group limits them, as in a container or in a job of Slurm.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil

SELF = Path("/proc/self")
"""Here the system describes the process that asks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """Holds how many cores, or how many bytes of memory, a process may use (`amount`), how many
    the machine has (`present`), and what limits them (`source`, empty where nothing does).
    """

    amount: int
    present: int
    source: str = ""

    def lower(self, amount: int, source: str) -> "Allowance":
        """Returns this allowance, or the one of `amount` where that is smaller."""
        if amount >= self.amount:
            return self
        return Allowance(amount=amount, present=self.present, source=source)


def allowed_cores(process: Path = SELF) -> Allowance:
    """Returns the cores that this process may use. A CPU quota counts in whole cores, rounded
    down, but as one at least.

    process: the folder in which the system describes the process.
    """
    present = os.cpu_count() or 1
    found = Allowance(amount=present, present=present)
    found = found.lower(len(os.sched_getaffinity(0)), "the CPU affinity")
    for folder, version in _groups("cpu", process):
        quota = _quota(folder, version)
        if quota is not None:
            source = f"the container's CPU quota, cgroup v{version}"
            found = found.lower(max(1, int(quota)), source)
    return found


def allowed_memory(process: Path = SELF) -> Allowance:
    """Returns the bytes of memory that this process may use. From `memory.high` on the system slows
    a process down, so that it counts as a limit too.

    process: the folder in which the system describes the process.
    """
    present = psutil.virtual_memory().total
    found = Allowance(amount=present, present=present)
    for folder, version in _groups("memory", process):
        names = ("memory.max", "memory.high") if version == 2 else ("memory.limit_in_bytes",)
        for name in names:
            limit = _number(folder / name)
            if limit is not None:
                found = found.lower(limit, f"the container's {name}, cgroup v{version}")
    return found


def describe_limits(cores: Allowance, memory: Allowance) -> tuple[str, ...]:
    """Returns a phrase for each of the two that something limits, with the name of the limit."""
    gib = memory.amount / 2**30, memory.present / 2**30
    described = [
        (cores.source, f"{cores.amount} core{'s' * (cores.amount != 1)}", f"of {cores.present}"),
        (memory.source, f"{gib[0]:.1f} GiB of memory", f"of {gib[1]:.1f}"),
    ]
    return tuple(
        f"{amount} ({'; '.join([present, f'limit of {source}'])})"
        for source, amount, present in described
        if source
    )


def _quota(folder: Path, version: int) -> float | None:
    """Returns the CPU quota of a control group in cores, or `None` where it has none."""
    if version == 2:
        words = _words(folder / "cpu.max")
        quota, period = map(_whole, words) if len(words) == 2 else (None, None)
    else:
        quota = _number(folder / "cpu.cfs_quota_us")
        period = _number(folder / "cpu.cfs_period_us")
    return quota / period if quota is not None and period else None


def _number(path: Path) -> int | None:
    """Returns the number in a file, or `None` where the file is missing or holds no limit."""
    words = _words(path)
    return _whole(words[0]) if words else None


def _whole(word: str) -> int | None:
    return int(word) if word.isdecimal() else None  # no limit is written as «max» or as -1


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []


def _groups(controller: str, process: Path) -> Iterator[tuple[Path, int]]:
    """Yields (folder, cgroup version) for the process's own control group and each parent that can
    be seen from here, in both versions, because a system can use both at once.
    """
    paths = dict(_paths(process))
    for kind, names, root, mounted in _mounts(process):
        if kind == "cgroup2":
            path, version = paths.get(""), 2
        elif controller in names:
            path, version = paths.get(controller), 1
        else:
            continue
        if path is None:
            continue
        # In a namespace of control groups, or where a container sees only its own part of the
        # tree, the path can lie outside of what is mounted, whose top is then the nearest group.
        below = PurePosixPath("/")
        if ".." not in path and PurePosixPath(path).is_relative_to(root):
            below = PurePosixPath(path).relative_to(root)
        own = mounted.joinpath(*below.parts[below.is_absolute() :])
        for folder in (own, *own.parents):
            yield folder, version
            if folder == mounted:
                break


def _paths(process: Path) -> Iterator[tuple[str, str]]:
    """Yields (controller, path of the process's group); the controller of version 2 is empty."""
    for line in _lines(process / "cgroup"):
        _, names, path = line.split(":", 2)
        yield from ((name, path) for name in names.split(","))


def _mounts(process: Path) -> Iterator[tuple[str, list[str], str, Path]]:
    """Yields (type of file system, options, root inside the tree, mount point) for each mounted
    tree of control groups.
    """
    for line in _lines(process / "mountinfo"):
        with suppress(ValueError, IndexError):
            place, kind = (part.split() for part in line.split(" - ", 1))
            if kind[0] in ("cgroup", "cgroup2"):
                root, mounted = map(_unescape, place[3:5])
                yield kind[0], kind[2].split(","), root, Path(mounted)


def _unescape(text: str) -> str:
    """Returns a path of mountinfo, in which blanks and the like are written as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
