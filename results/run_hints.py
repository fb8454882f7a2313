"""What command lines share: the option or run that was probably meant, and what to type next."""

from difflib import get_close_matches
from pathlib import Path

RUN_FILE = "manifest.json"
"""What makes a folder a run."""


def nearest_run(directory: Path) -> str:
    """What to name or type instead of a folder that is no run."""
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
    """The command that goes on with a run."""
    path = directory if directory.name else directory.absolute()
    usual = path.parent.absolute() == Path("runs").absolute()
    return f"python -m search.run --resume {path.name}{'' if usual else f' --out {path.parent}'}"
