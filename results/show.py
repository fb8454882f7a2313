"""Shows a run on the terminal: its leaderboard, or everything about one trial.

python -m results.show runs/NAME [--all | --top N] [--columns A,B,…] [--csv | --json]
python -m results.show runs/NAME --trial 7 [--log] [--json]
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from common.cli import Parser, print_json, quote_command, refuse
from common.errors import UserError
from common.text import format_duration, format_fraction, format_value, redacted
from results.analysis.run_records import RunRecords, read_run_records
from results.overview.leaderboard import FIELDS, RankedTrial, column_names, rank_all
from results.overview.leaderboard_table import (
    USUAL,
    choose_columns,
    describe_ending,
    leaderboard,
    to_csv,
)
from results.overview.run_overview import RunOverview, overview_of
from results.overview.text_table import TextColumn, print_table
from results.overview.trial_log import read_log
from results.records import EpochMetrics, TrainingId
from results.run_hints import resume_command
from results.store import RunError, traceback_path

SCHEMA_VERSION = 1
"""The JSON contains this version, which changes with the meaning of a key."""

TOP = 20
"""So many of the best trials, and the baselines, are shown where the options don't say."""

__doc__ += """
`--json` prints one object with `schema_version`, `run`, which is the run's entry in `python -m
results.runs --json`, and `trials`, a list of:

"""
__doc__ += "\n".join(f"    {name:15} {text}" for name, text in FIELDS.items())
__doc__ += """

With `--trial` it has `trial` instead, one such entry with two more keys: `config`, the whole
configuration, and `traceback`, the text of the error of one that broke off, or null; and `epochs`,
a list of the trial's epochs with the keys of `results.records.EpochMetrics`. With `--log`, the key
`log` of the trial has what it printed.
"""


def _show_trials(directory: Path, records: RunRecords, options: Any) -> None:
    trials = rank_all(records)
    columns = choose_columns(options.columns, trials) if options.columns is not None else None
    top = len(trials) if options.all else options.top
    shown = [each for each in trials if each.baseline or (each.rank or len(trials)) <= top]
    if options.json:
        _print_json({"run": overview_of(directory, records), "trials": shown})
    elif options.csv:
        print(redacted(to_csv(shown, columns or column_names(trials))), end="")
    else:
        params = [name for name in column_names(trials) if name.startswith("params.")]
        print(*_head(overview_of(directory, records)), sep="\n")
        left_out = print_table(leaderboard(shown, columns or [*USUAL, *params]))
        print(*_below(directory, trials, shown, left_out), sep="\n")


def _head(run: RunOverview) -> Iterator[str]:
    """Yields the lines above a leaderboard: what the run is, how it stands, what the user says."""
    of = f" of {run.planned}" if run.planned else ""
    yield (
        f"{run.name}: {run.space or '?'} on {run.dataset or '?'}, {run.state}, "
        f"{run.trials}{of} trials, {format_duration(run.training_s)} of training"
    )
    if run.tags:
        yield f"tags: {' '.join(run.tags)}"
    if run.note:
        yield f"note: {run.note}"
    yield ""


def _below(
    directory: Path,
    trials: Sequence[RankedTrial],
    shown: Sequence[RankedTrial],
    left_out: list[str],
) -> Iterator[str]:
    """Yields the lines below a leaderboard: what its numbers are, and how to see what it lacks."""
    show = quote_command("python -m results.show", directory)
    yield ""
    yield "val_top1 and gap are those of the latest epoch, by which trials are ranked."
    if len(shown) < len(trials):
        yield f"{len(trials) - len(shown)} more trials: {show} --all"
    if left_out:
        yield f"Too narrow for {', '.join(left_out)}: `| cat`, --columns or --csv shows them."
    yield f"One trial with its curve: {show} --trial N"


def _show_trial(directory: Path, records: RunRecords, options: Any) -> None:
    trials = {each.trial: each for each in rank_all(records)}
    if options.trial not in trials:
        numbers = f"0…{max(trials)}" if trials else "none yet"
        raise RunError(
            f"--trial must name a trial of the run, but got {options.trial}; {directory} has "
            f"{numbers}."
        )
    trial, epochs = trials[options.trial], records.epochs[options.trial]
    config = records.trials[options.trial].config
    error = traceback_path(directory, TrainingId(options.trial))
    traceback = records.traceback(options.trial)
    log = read_log(directory, TrainingId(options.trial))
    if options.json:
        entry = asdict(trial) | {"config": config, "traceback": traceback}
        entry |= {"log": log} if options.log else {}
        _print_json({"run": overview_of(directory, records), "trial": entry, "epochs": epochs})
        return
    if options.log:
        print(log or f"trial {options.trial} has printed nothing")
        return
    print(*_describe(trial, config), "", sep="\n")
    if epochs:
        if left_out := print_table(_curve(epochs)):
            print(f"Too narrow for {', '.join(left_out)}: `| cat` or --json shows them.")
    else:
        print("No epoch is finished yet.")
    if traceback is not None:
        print(f"\nIts errors, from {error}:\n\n{redacted(traceback).rstrip()}")
    if log:
        show = quote_command("python -m results.show", directory, "--trial", options.trial, "--log")
        print(f"\nWhat it printed ({len(log.splitlines()):,} lines): {show}")


def _describe(trial: RankedTrial, config: dict[str, Any]) -> Iterator[str]:
    """Yields what there is to say of one trial beside its epochs."""
    marks = ", the baseline" * trial.baseline + ", the best" * trial.best
    rank = f", rank {trial.rank}" if trial.rank else ""
    why = f": {trial.detail}" if trial.detail else ""
    yield f"trial {trial.trial}{marks}{rank}: {describe_ending(trial)}{why}"
    if trial.retried:
        yield f"It broke off once and was tried again: {trial.retried}"
    planned = f" of {trial.epochs_planned}" if trial.epochs_planned else ""
    yield (
        f"val_top1 {format_fraction(trial.val_top1)} after {trial.epochs}{planned} epochs, "
        f"gap {format_fraction(trial.gap, '+')}, "
        f"highest {format_fraction(trial.best_val_top1)} at epoch {trial.best_epoch or '–'}, "
        f"{format_duration(trial.wall_s)}"
    )
    fixed = {name: item for name, item in config.items() if name not in trial.params}
    for what, values in (("searched", trial.params), ("fixed", fixed)):
        words = ", ".join(f"{name}={item}" for name, item in values.items())
        yield f"{what + ':':<9} {words or 'none'}"


def _curve(epochs: Sequence[EpochMetrics]) -> list[TextColumn]:
    names = [each.name for each in fields(EpochMetrics)]
    return [
        TextColumn(name, [format_value(getattr(each, name)) for each in epochs]) for name in names
    ]


def _print_json(value: dict[str, Any]) -> None:
    plain = {name: _plain(item) for name, item in value.items()}
    print_json({"schema_version": SCHEMA_VERSION, **plain})


def _plain(item: Any) -> Any:
    if isinstance(item, list):
        return [_plain(each) for each in item]
    return item if isinstance(item, dict) else asdict(item)


def parser() -> Parser:
    """Builds the parser for the arguments of `python -m results.show`."""
    made = Parser(prog="python -m results.show", description=__doc__)
    made.add_argument("run", type=Path, help="a run directory, e.g. runs/NAME")
    which = made.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="show all trials")
    which.add_argument(
        "--top", type=int, default=TOP, metavar="N",
        help=f"show the N best trials and the baselines (default: {TOP})",
    )  # fmt: skip
    which.add_argument("--trial", type=int, metavar="N", help="show everything about trial N")
    made.add_argument(
        "--log", action="store_true", help="with --trial: print what the trial itself printed"
    )
    made.add_argument(
        "--columns", metavar="A,B,…", help="the columns: fields or parameters, in this order"
    )
    form = made.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print comma-separated values")
    form.add_argument("--json", action="store_true", help="print JSON")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code:
    0, or 2 after an error.
    """
    options = parser().parse_args(arguments)
    if options.trial is not None and (options.csv or options.columns):
        return refuse("--trial can't go with --csv or --columns; leave them out, or use --json.")
    if options.trial is None and options.log:
        return refuse("--log must go with --trial, which names the trial; add it.")
    try:
        records = read_run_records(options.run)
        if not records.trials:
            raise RunError(
                f"{options.run} has no trial yet; let it run longer, or go on with it by "
                f"`{resume_command(options.run)}`."
            )
        show = _show_trials if options.trial is None else _show_trial
        show(options.run, records, options)
    except (UserError, OSError) as error:
        return refuse(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
