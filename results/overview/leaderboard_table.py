"""Words a run's leaderboard: as a table for people, and as comma-separated values."""

import csv
import io
from collections.abc import Callable, Sequence

from common.text import did_you_mean, format_duration, format_fraction, format_value
from results.overview.leaderboard import RankedTrial, column_names
from results.overview.text_table import TextColumn
from results.records import TrialRecord, TrialState
from results.store import RunError

USUAL = ("rank", "trial", "mark", "val_top1", "gap", "epochs", "ended", "wall_s")
"""The leaderboard has these columns, and one for each parameter, where the options don't say."""

WORDS = ("mark", "ended")
"""These columns are words for people: whether a trial is the best or the baseline, and how it
ended.
"""


def leaderboard(trials: Sequence[RankedTrial], columns: Sequence[str]) -> list[TextColumn]:
    """Returns the columns of a table of these trials, with the cells as people read them."""
    found = []
    for name in columns:
        heading = name.removeprefix("params.")
        if name == "wall_s":
            heading = "time"
        cells = [_cell(name, each) for each in trials]
        numbers = name not in WORDS and all(
            isinstance(each.value(name), int | float | None) for each in trials
        )
        found.append(TextColumn(heading, cells, right=numbers))
    return found


def _cell(name: str, trial: RankedTrial) -> str:
    if name in _CELLS:
        return _CELLS[name](trial)
    return format_value(trial.value(name))


def _mark(trial: RankedTrial) -> str:
    return " ".join(name for name in ("best", "baseline") if getattr(trial, name))


def describe_ending(trial: RankedTrial | TrialRecord) -> str:
    """Returns how a trial ended, in one word."""
    if trial.state is TrialState.RUNNING:
        return "unfinished"
    return str(trial.reason or trial.state).replace("_", " ")


_CELLS: dict[str, Callable[[RankedTrial], str]] = {
    "mark": _mark,
    "val_top1": lambda trial: format_fraction(trial.val_top1),
    "best_val_top1": lambda trial: format_fraction(trial.best_val_top1),
    "gap": lambda trial: format_fraction(trial.gap, "+"),
    "ended": describe_ending,
    "wall_s": lambda trial: format_duration(trial.wall_s),
}


def choose_columns(words: str, trials: Sequence[RankedTrial]) -> list[str]:
    """Returns the columns that `words` names, separated by commas; a parameter's column is named by
    the parameter alone too. Raises `RunError` with a sentence for each unknown one.
    """
    known = [*column_names(trials), *WORDS]
    found, errors = [], []
    for word in filter(None, (each.strip() for each in words.split(","))):
        name = word if word in known else f"params.{word}"
        found.append(name)
        if name not in known:
            short = [each.removeprefix("params.") for each in known]
            otherwise = f"the columns are {', '.join(short)}."
            errors.append(
                f"--columns must name columns, but got {word!r}; "
                f"{did_you_mean(word, short, otherwise)}"
            )
    if errors:
        raise RunError(errors)
    return found


def to_csv(trials: Sequence[RankedTrial], columns: Sequence[str]) -> str:
    """Returns a table of comma-separated values with a heading. A missing value is empty, and a
    parameter's name is preceded by `params.`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for each in trials:
        values = (_CELLS[name](each) if name in WORDS else each.value(name) for name in columns)
        writer.writerow("" if value is None else value for value in values)
    return text.getvalue()
