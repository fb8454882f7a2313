"""Where a result comes from: versions, commit, machine and command."""

import platform
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from common.text import redacted
from search.hardware.machine import Machine, Node, cpu_model

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ray", "optuna", "torch", "torchvision", "ffcv", "numba", "numpy", "scipy", "pandas")


def provenance(machine: Machine, command: list[str], nodes: Sequence[Node] = ()) -> dict[str, Any]:
    """Plain values for the run's manifest, without the secrets that the command may hold.

    `nodes` are those of a cluster.
    """
    return {
        "command": redacted(" ".join(command)),
        "python": platform.python_version(),
        "versions": versions(PACKAGES),
        "commit": _commit(),
        "machine": {
            "cpu": cpu_model(),
            "cpus": machine.cpus,
            "memory_gib": round(machine.memory_bytes / 2**30, 1),
            "gpus": list(machine.gpus),
            "system": f"{platform.system()} {platform.release()}",
        },
        "nodes": [
            {"address": node.address, "cpus": node.machine.cpus, "gpus": list(node.machine.gpus)}
            for node in nodes
        ],
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The versions of those of the packages that are installed."""
    found = {}
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _commit() -> str | None:
    """The checkout's commit, marked when files differ from it; `None` outside a checkout.

    Published figures may differ: benchmarks write them one after the other.
    """
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":!results/published")
    return f"{commit}-dirty" if commit and changed else commit


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def command_line() -> list[str]:
    """What was typed, as well as Python knows it."""
    return ["python", "-m", "search.run", *sys.argv[1:]]
