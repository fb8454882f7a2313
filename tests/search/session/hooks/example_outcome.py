"""An outcome of a search that never was, and a command that is run with it."""

import os
from pathlib import Path
from typing import Any

from search.session.hooks.commands import run_command
from search.session.hooks.outcome import Happening, SearchOutcome


def made(**changes: Any) -> SearchOutcome:
    values = {
        "event": Happening.BEST, "name": "run", "run": "/runs/run", "space": "demo",
        "dataset": "demo", "trials": 3, "trials_planned": 6, "best": None,
        "baseline_val_top1": None, "resume_command": "resume",
    } | changes  # fmt: skip
    return SearchOutcome(**values)


def run(command: str, log: Path, limit_s: float = 10.0, **changes: Any) -> str | None:
    return run_command(command, made(**changes), log, dict(os.environ), limit_s)
