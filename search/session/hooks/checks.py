"""Checks the user's commands before anything starts."""

import subprocess
from collections.abc import Mapping
from typing import Any

HOOKS = {"on_end": "--on-end", "on_best": "--on-best"}
"""These actions of the command line hold commands."""


def check_hooks(actions: Mapping[str, Any]) -> list[str]:
    """Returns a sentence for each command that a shell can't read. Nothing of it is run."""
    return [
        f"{flag} must be a command that a shell can read, but isn't ({why}); mend it, or put it "
        "into a script and name that."
        for name, flag in HOOKS.items()
        if actions.get(name) is not None and (why := _why_unreadable(actions[name]))
    ]


def _why_unreadable(command: str) -> str | None:
    if not command.strip():
        return "it is empty"
    checked = subprocess.run(
        ["/bin/sh", "-n", "-c", command],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=10,
        check=False,
    )
    lines = checked.stderr.strip().splitlines()
    return (lines[-1] if lines else "its syntax is wrong") if checked.returncode else None
