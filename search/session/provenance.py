"""Records the provenance of a result: versions, commit, machine and command."""

import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from common.cli import quote
from common.text import HIDDEN, redacted
from search.hardware.machine import Machine, Node, cpu_model
from search.preflight import ROOT
from search.preflight import versions as installed_versions

PACKAGES = ("ray", "optuna", "torch", "torchvision", "ffcv", "numba", "numpy", "scipy", "pandas")
"""A run's manifest contains the versions of these packages."""


def provenance(
    machine: Machine,
    command: list[str],
    nodes: Sequence[Node] = (),
    gpu: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns the provenance as plain values for the run's manifest, with secrets in the command
    redacted. `nodes` are those of a cluster, and `gpu` has the settings and versions of a GPU.
    """
    return {
        "command": redacted(quote(*map(redacted, command))),
        "python": platform.python_version(),
        "versions": versions(PACKAGES),
        "commit": _commit(),
        "machine": {
            "cpu": cpu_model(),
            "cpus": machine.cpus,
            "memory_gib": round(machine.memory_bytes / 2**30, 1),
            "gpus": _gpu_names(machine),
            **({"gpu_uuids": [gpu.uuid for gpu in machine.gpus]} if machine.gpus else {}),
            "system": f"{platform.system()} {platform.release()}",
            **({"limits": "; ".join(machine.limits)} if machine.limits else {}),
            **({"gpu": dict(gpu)} if gpu else {}),
        },
        "nodes": [
            {"address": node.address, "cpus": node.machine.cpus, "gpus": _gpu_names(node.machine)}
            for node in nodes
        ],
    }


def _gpu_names(machine: Machine) -> list[str]:
    return [gpu.name for gpu in machine.gpus]


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Returns the versions of those packages that are installed, by name."""
    found = installed_versions(list(packages))
    return {name: version for name, version in found.items() if version is not None}


def _commit() -> str | None:
    """Returns the checkout's commit, marked as dirty if files differ from it, or `None` outside of
    a checkout. Published figures may differ, because benchmarks write them one after the other.
    """
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":!results/published")
    return f"{commit}-dirty" if commit and changed else commit


def _git(*arguments: str) -> str | None:
    try:
        command = ["git", *arguments]
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def command_line() -> list[str]:
    """Returns the command that started the search, as far as Python knows it, without the commands
    of the user's that it runs: these may hold secrets, such as the address of a webhook.
    """
    words, hidden = [], False
    for word in sys.argv[1:]:
        flag, given, _ = word.partition("=")
        commands = flag in ("--on-end", "--on-best")
        words.append(HIDDEN if hidden else f"{flag}={HIDDEN}" if commands and given else word)
        hidden = commands and not given
    return ["python", "-m", "search.run", *words]
