"""Builds the table of all trials and the list of their provenance."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from common.cli import quote
from common.text import format_duration
from results.analysis.ranking import rank_trials
from results.analysis.rung_worth import advise, worths_of_run
from results.analysis.screening_worth import judge_records, params_key
from results.analysis.searched_ranges import (
    SearchedRange,
    describe_condition,
    describe_range,
    read_priors,
    read_ranges,
)
from results.page.formatting import OUTCOMES, outcome, percent, value
from results.page.run_data import Run
from results.records import TrialRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """Holds a table's cell: the text shown, the key it is sorted by (`None` sorts last), and a hint
    for the pointer.
    """

    text: str
    key: float | str | None
    hint: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Holds the table row of one trial; `mark` is «best», «baseline» or empty."""

    mark: str
    outcome: str
    color: str
    cells: list[Cell]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Holds the table of trials, best first. `outcomes` has the labels of the outcomes that occur,
    by key.
    """

    columns: list[str]
    rows: list[Row]
    outcomes: dict[str, str]


def table(run: Run) -> Table:
    """Returns the table of all trials of a run; trials without a finished epoch come last."""
    order = rank_trials(run.trials.values())
    order += [record for record in run.trials.values() if record.last_val_top1 is None]
    params = list(run.ranges)
    params += [n for r in order for n in r.params if n not in params]
    names = list(dict.fromkeys(params))
    costs = list(run.objectives[1:])
    seen = {outcome(record) for record in order}
    return Table(
        columns=[*COLUMNS, *costs, *names],
        rows=[_row(run, record, costs, names) for record in order],
        outcomes={key: label for key, (label, _) in OUTCOMES.items() if key in seen},
    )


def _row(run: Run, record: TrialRecord, costs: list[str], names: list[str]) -> Row:
    key = outcome(record)
    _, color = OUTCOMES[key]
    mark = "best" if record is run.winner else "baseline" if record is run.baseline else ""
    return Row(
        mark=mark,
        outcome=key,
        color=color,
        cells=[
            *(make_cell(run, record) for make_cell in COLUMNS.values()),
            *(_param(getattr(record, cost)) for cost in costs),
            *(_param(record.params.get(name)) for name in names),
        ],
    )


def _gap(run: Run, record: TrialRecord) -> Cell:
    """Returns the gap after the trial's latest epoch, or a dash where the trial has none."""
    epochs = run.epochs[record.number]
    gap = epochs[-1].gap if epochs else None
    return Cell(text="–" if gap is None else f"{100 * gap:+.1f}", key=gap)


def _ended(_run: Run, record: TrialRecord) -> Cell:
    label, _ = OUTCOMES[outcome(record)]
    return Cell(text=label, key=label, hint=record.detail or "")


def _number(run: Run, record: TrialRecord) -> Cell:
    """Returns the trial's number, with a mark where a user has asked for its configuration."""
    asked = record.number in run.by_hand
    mark = " (by hand)" if asked else ""
    hint = "its configuration was asked for by hand" if asked else ""
    return Cell(text=f"{record.number}{mark}", key=record.number, hint=hint)


COLUMNS: dict[str, Callable[[Run, TrialRecord], Cell]] = {
    "trial": _number,
    "val_top1": lambda _, r: Cell(text=percent(r.last_val_top1), key=r.last_val_top1),
    "highest": lambda _, r: Cell(
        text=percent(r.best_val_top1), key=r.best_val_top1, hint=f"at epoch {r.best_epoch}"
    ),
    "epochs": lambda _, r: Cell(text=str(r.epochs), key=r.epochs),
    "gap": _gap,
    "ended": _ended,
    "time": lambda _, r: Cell(text=format_duration(r.wall_s), key=r.wall_s),
}
"""Each heading of the table has a function that makes its cell from a run and a trial's record.
The objectives beside val_top1 and the parameters follow these columns.
"""


def _param(item: Any) -> Cell:
    numeric = isinstance(item, int | float)
    key = float(item) if numeric else None if item is None else str(item)
    return Cell(text=value(item), key=key)


@dataclass(frozen=True, kw_only=True, slots=True)
class Searched:
    """Holds what a search varied: rows of (parameter, range, when the range holds, the baseline's
    value), and notes.
    """

    rows: list[tuple[str, str, str, str]]
    notes: list[str]


def searched(run: Run) -> Searched:
    """Returns every range that was searched, from the manifest, or from the journal of a run that
    an older version began.
    """
    known, notes = read_ranges(run.manifest), []
    if not known:
        known = tuple(SearchedRange(name=n, distribution=each) for n, each in run.ranges.items())
        notes.append("This run recorded no conditions: a range may depend on a choice.")
    if since := run.manifest.get("searched", {}).get("since"):
        notes.append(f"These are the ranges from trial {since} on; before, they were others.")
    if priors := read_priors(run.manifest):
        words = ", ".join(f"{name} {each}" for name, each in priors.items())
        notes.append(f"Its author's priors: {words}.")
    baseline = run.trials.get(0)
    own = baseline.config if baseline else {}
    rows = [
        (
            each.name,
            describe_range(each.distribution),
            describe_condition(each.condition),
            value(own.get(each.name)),
        )
        for each in known
    ]
    return Searched(rows=rows, notes=notes)


@dataclass(frozen=True, kw_only=True, slots=True)
class RungTable:
    """Holds what the rungs predict: rows of (rung, later epoch, trials, rank correlation, share of
    the later best third that was in the upper third), and the remedy for a worthless one.
    """

    rows: list[tuple[str, str, str, str, str]]
    advice: str


def rung_table(run: Run) -> RungTable:
    """Returns what the rungs of a run predict. There are no rows where no rung has stopped a trial,
    or where the rungs compare trials by several objectives.
    """
    worths = worths_of_run(run.trials, run.epochs) if len(run.objectives) == 1 else []
    rows = [
        (
            str(each.rung),
            str(each.later),
            str(each.trials),
            each.describe(),
            "–" if each.found is None else f"{each.found:.0%}",
        )
        for each in worths
    ]
    options = run.manifest.get("options", {})
    return RungTable(rows=rows, advice=advise(worths, str(run.directory), options) or "")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScreeningTable:
    """Holds the short trainings before the trials, best first: the table's columns and rows, which
    begin with (number, val_top1, how it ended, the trial of the same configuration), and a sentence
    on what they tell.
    """

    columns: list[str]
    rows: list[list[str]]
    worth: str


def screening_table(run: Run) -> ScreeningTable:
    """Returns the screening of a run; there are no rows where it has none."""
    trials = {params_key(record.params): number for number, record in run.trials.items()}
    order = sorted(run.screening.values(), key=lambda each: (-(each.val_top1 or 0), each.number))
    names = list(dict.fromkeys(name for each in order for name in each.params))
    rows = [
        [
            "baseline" if each.number == 0 else str(each.number),
            percent(each.val_top1),
            each.detail or str(each.state),
            str(trials.get(params_key(each.params), "–")),
            *(value(each.params.get(name)) for name in names),
        ]
        for each in order
    ]
    images = int(run.manifest.get("dataset", {}).get("val_images", 0))
    plan = run.manifest.get("screening")
    begun = len(run.trials) > 1  # trials but the baseline wait for the screening's end
    planned = plan["count"] if isinstance(plan, Mapping) and not begun else len(rows)
    worth = judge_records(order, planned, images) if rows else None
    columns = ["short training", "val_top1", "ended", "trial", *names]
    return ScreeningTable(columns=columns, rows=rows, worth=f"{worth.describe()}." if worth else "")


def provenance(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns (name, value) for each entry of a manifest's provenance: versions, commit, dataset,
    machine and commands.
    """
    recorded = manifest.get("provenance", {})
    dataset = manifest.get("dataset", {})
    machine = recorded.get("machine", {})
    return [
        ("space", str(manifest.get("space", "–"))),
        ("dataset", f"{dataset.get('name', '–')}, fingerprint {dataset.get('fingerprint', '–')}"),
        *([("images", "; ".join(found))] if (found := dataset.get("remarks")) else []),
        ("precision", str(manifest.get("precision", "–"))),
        ("commit", str(recorded.get("commit", "–"))),
        ("Python", str(recorded.get("python", "–"))),
        ("versions", _pairs(recorded.get("versions", {}))),
        ("machine", _pairs(machine)),
        *_sessions(manifest),
    ]


def typed_options(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns (option, value) as a command line has them: a dash where an option wasn't given, and
    an option's several values apart.
    """
    found = []
    for name, item in options.items():
        several = item if isinstance(item, list | tuple) else [item]
        words = quote(*several) if item not in ("", [], (), False, None) else "–"
        found.append((f"--{name.replace('_', '-')}", "given" if item is True else words))
    return found


def _sessions(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the period and the command of each session; the sessions of a resumed run may have
    different commands.
    """
    for number, each in enumerate(manifest.get("sessions", []), 1):
        began, ended = (_clock(each.get(name)) for name in ("started", "ended"))
        command = each.get("provenance", {}).get("command", "–")
        yield f"session {number}", f"{began} to {ended or 'not ended'} (UTC): {command}"


def _clock(moment: str | None) -> str:
    """Returns a recorded moment, which is in UTC, without its seconds."""
    return moment[:16].replace("T", " ") if moment else ""


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {item or 'none'}" for name, item in values.items()) or "–"
