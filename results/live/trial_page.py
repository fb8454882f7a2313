"""Builds the page of one trial: its configuration, curves, epochs, errors and use of time, and the
end of what it printed.
"""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from common.text import format_duration, format_value, redacted
from results.analysis.run_records import read_run_records
from results.overview.leaderboard import RankedTrial, rank_all
from results.overview.trial_log import read_log
from results.page.figure import PERCENT, Panel, Section, plot, step_of_epochs
from results.page.formatting import OUTCOMES, outcome, percent, value
from results.page.headline import Card
from results.page.render import render
from results.page.time_use import USES, seconds_by_use
from results.records import EpochMetrics, TrainingId
from results.store import RunError

LINES = 200
"""A trial's page shows so many of the last lines that the trial has printed."""

TRAIN, VAL, QUIET = "#e69f00", "#3a8fd0", "#8d96a3"
"""On a trial's page, train, val and everything else have these colours."""


def trial_page(directory: Path, number: int) -> str:
    """Returns the HTML of a trial's page, which updates itself like that of the run. Raises
    `RunError` for a trial that the run lacks, and `RecordError` for a damaged record.
    """
    records = read_run_records(directory)
    trials = rank_all(records)
    found = next((each for each in trials if each.trial == number), None)
    if found is None:
        raise RunError(
            f"{directory} has no trial {number} yet; ask for one of 0…{len(trials) - 1}."
        )
    epochs = records.epochs[number]
    record = records.standings()[number]
    return render(
        "trial.html",
        sections=[_learning(epochs), _time(epochs)] if epochs else [],
        live=True,
        root="../",
        trial=found,
        trials=len(trials),
        name=str(records.manifest.get("name", directory.name)),
        ended=OUTCOMES[outcome(record)][0],
        cards=_cards(found, len(trials)),
        searched=[(name, value(item)) for name, item in found.params.items()],
        fixed=[(n, value(item)) for n, item in record.config.items() if n not in found.params],
        columns=[each.name for each in fields(EpochMetrics)],
        epochs=[[format_value(getattr(m, each.name)) for each in fields(m)] for m in epochs],
        printed=read_log(directory, TrainingId(number), lines=LINES),
        traceback=redacted(records.traceback(number) or ""),
    )


def _cards(trial: RankedTrial, trials: int) -> list[Card]:
    planned = f" of {trial.epochs_planned}" if trial.epochs_planned else ""
    rank = "not ranked yet" if trial.rank is None else f"rank {trial.rank} of {trials}"
    gap = "–" if trial.gap is None else f"{100 * trial.gap:+.1f} points"
    return [
        Card(label="val_top1", number=percent(trial.val_top1), note=rank),
        Card(
            label="highest",
            number=percent(trial.best_val_top1),
            note=f"at epoch {trial.best_epoch}" if trial.best_epoch else "no epoch yet",
        ),
        Card(label="gap", number=gap, note="train_top1 - val_top1, after the latest epoch"),
        Card(
            label="trained",
            number=f"{trial.epochs}{planned}",
            note=f"epochs, in {format_duration(trial.wall_s)}",
        ),
    ]


def _learning(epochs: Sequence[EpochMetrics]) -> Section:
    panels = [
        Panel(key="accuracy", title="Accuracy", caption="On val and on clean training images.",
              figure=_lines(epochs, {"val_top1": VAL, "train_top1": TRAIN}, percent=True),
              height=320, beside=2),
        Panel(key="loss", title="Loss",
              caption="On val, and the mean over the epoch's augmented batches.",
              figure=_lines(epochs, {"val_loss": VAL, "train_loss": TRAIN}), height=320, beside=2),
        Panel(key="rate", title="Learning rate", caption="At the end of each epoch.",
              figure=_lines(epochs, {"lr": QUIET}), height=240, beside=2),
        Panel(key="speed", title="Speed", caption="Trained images a second.",
              figure=_lines(epochs, {"images_per_s": QUIET}), height=240, beside=2),
    ]  # fmt: skip
    return Section(key="learning", title="Learning", panels=panels, notes=[])


def _lines(
    epochs: Sequence[EpochMetrics], colors: dict[str, str], *, percent: bool = False
) -> go.Figure:
    """Returns a figure of some metrics over the epochs, one line each. A single line begins at 0,
    so that one that hardly changes looks so.
    """
    more: dict[str, Any] = {"yaxis_tickformat": PERCENT} if percent else {}
    if len(colors) == 1:
        more["yaxis_rangemode"] = "tozero"
    figure = plot("epoch", "", **more)
    for name, color in colors.items():
        figure.add_scatter(
            x=[each.epoch for each in epochs],
            y=[getattr(each, name) for each in epochs],
            mode="lines+markers",
            name=name,
            showlegend=len(colors) > 1,
            line={"color": color},
        )
    figure.update_xaxes(dtick=step_of_epochs(len(epochs)))
    return figure


def _time(epochs: Sequence[EpochMetrics]) -> Section:
    seconds = seconds_by_use(epochs)
    figure = plot("seconds", "", barmode="stack", showlegend=True)
    for use, color in USES.items():
        if seconds[use]:
            figure.add_bar(x=[seconds[use]], y=[""], orientation="h", name=use,
                           marker={"color": color})  # fmt: skip
    words = ", ".join(f"{use} {format_duration(each)}" for use, each in seconds.items() if each)
    panel = Panel(key="time", title="Where the time went", caption=f"{words}.", figure=figure,
                  height=180)  # fmt: skip
    return Section(key="spending", title="Time", panels=[panel], notes=[])
