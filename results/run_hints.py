"""Words hints for error messages of the command lines: the run that was probably meant, and the
command that resumes a run.
"""

from difflib import get_close_matches
from pathlib import Path

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
    close = get_close_matches(directory.name, runs, n=1)
    if close:
        return f"did you mean {runs[close[0]]}?"
    if runs:
        newest = max(runs.values(), key=lambda run: (run / RUN_FILE).stat().st_mtime)
        return f"the newest run is {newest}."
    return "`python -m search.run --space demo` makes one."


def resume_command(directory: Path) -> str:
    """Returns the command that resumes the run in `directory`."""
    path = directory if directory.name else directory.absolute()
    usual = path.parent.absolute() == Path("runs").absolute()
    return f"python -m search.run --resume {path.name}{'' if usual else f' --out {path.parent}'}"
