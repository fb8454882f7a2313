"""Words hints for error messages of the command lines: the run that was probably meant, and the
command that resumes a run.
"""

import json
from pathlib import Path

from common.cli import quote, quote_command
from common.text import did_you_mean

RUN_FILE = "manifest.json"
"""A folder that contains this file is a run."""


def nearest_run(directory: Path) -> str:
    """Returns the end of an error message for a `directory` that is no run: the run that was
    probably meant, the newest run, or the command that starts one.
    """
    if (directory.parent / RUN_FILE).exists():
        return f"did you mean {directory.parent}?"
    places = {directory.parent, Path("runs")}
    runs = {path.parent.name: path.parent for at in places for path in at.glob(f"*/{RUN_FILE}")}
    if not runs:
        return "`python -m search.run --space demo` makes one."
    newest = max(runs.values(), key=lambda run: (run / RUN_FILE).stat().st_mtime)
    otherwise = f"the newest run is {newest}."
    return did_you_mean(directory.name, runs, otherwise, show=runs.__getitem__)


def resume_command(directory: Path) -> str:
    """Returns the command that resumes the run in `directory`."""
    path = directory if directory.name else directory.absolute()
    usual = path.parent.absolute() == Path("runs").absolute()
    out = [] if usual else ["--out", path.parent]
    return quote_command("python -m search.run", "--resume", path.name, *out)


def restore_hint(directory: Path) -> str:
    """Returns what to do where records of the run in `directory` are damaged, as the end of a
    sentence: its copy in the storage is named where it has one.
    """
    otherwise = "or begin a new run under another --name"
    path = directory / RUN_FILE
    try:
        options = json.loads(path.read_text(encoding="utf-8"))["options"] if path.is_file() else {}
        storage = str(options.get("storage") or "")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        storage = ""
    if storage:
        fetch = f"{resume_command(directory)} {quote('--storage', storage)}"
        return f"move {directory} away and fetch its copy by `{fetch}`, {otherwise}"
    return f"restore {directory} from a copy of it, {otherwise}"
