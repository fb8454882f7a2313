"""Compares several runs on a page: their numbers, their best accuracy over cost, and their
configurations.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from common.text import format_duration
from results.page.best_so_far import add_progress, seconds_of_trials
from results.page.curves import add_curve
from results.page.figure import (
    PERCENT,
    Panel,
    Section,
    plot,
    safe,
    step_of_epochs,
    time_unit,
)
from results.page.formatting import percent, span, value
from results.page.headline import finalists_decision
from results.page.run_data import Run
from results.page.table import provenance

COLORS = ("#3a8fd0", "#e69f00", "#009e73", "#cc4f8f", "#8a6fd1", "#d55e00", "#56b4e9", "#8d96a3")
"""Runs are drawn in these colours, in their order; after the last colour the first one follows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Holds one row of a table that has a column for each run."""

    name: str
    cells: list[str]

    @property
    def differs(self) -> bool:
        """Returns whether the runs' cells differ from each other."""
        return len(set(self.cells)) > 1


def names(runs: Sequence[Run]) -> list[str]:
    """Returns the name of each run on the page; a run that shares its name with another one is
    named by its folder.
    """
    called = [run.name for run in runs]
    return [
        str(run.directory) if called.count(name) > 1 else name
        for run, name in zip(runs, called, strict=True)
    ]


def cautions(runs: Sequence[Run]) -> list[str]:
    """Returns one sentence for each reason why the numbers of these runs can't simply be
    compared.
    """
    sentences = []
    if _several(runs, lambda run: run.manifest["dataset"]["fingerprint"]):
        sentences.append("These runs saw different images: a higher val_top1 is no better result.")
    if _several(runs, lambda run: _best(run)["config"].get("weights") == "none"):
        sentences.append("Some begin with pretrained weights and some from scratch: two tracks.")
    if _several(runs, lambda run: _best(run)["config"].get("epochs")):
        sentences.append("Their best trials were to be trained for different numbers of epochs.")
    if _several(runs, lambda run: finalists_decision(run) is None):
        sentences.append(
            "Some values are means over fresh seeds, the others one seed's latest epoch."
        )
    return sentences


def _several(runs: Sequence[Run], value_of: Callable[[Run], Any]) -> bool:
    return len({value_of(run) for run in runs}) > 1


def headline(runs: Sequence[Run]) -> str:
    """Returns a sentence that names the run with the best configuration, or the number of runs
    where they saw different images.
    """
    if _several(runs, lambda run: run.manifest["dataset"]["fingerprint"]):
        return f"{len(runs)} runs on different images"
    index = max(range(len(runs)), key=lambda index: _best(runs[index])["value"])
    best, name = _best(runs[index]), names(runs)[index]
    return f"{name} has the highest val_top1: {percent(best['value'])}, by trial {best['trial']}"


def _best(run: Run) -> Mapping[str, Any]:
    best, _ = run.require_best()
    return best


def numbers(runs: Sequence[Run]) -> list[Line]:
    """Returns the runs' numbers, one row for each quantity."""
    columns = [dict(_numbers(run)) for run in runs]
    return [Line(name=name, cells=[each[name] for each in columns]) for name in columns[0]]


def _numbers(run: Run) -> Iterator[tuple[str, str]]:
    best, winner = run.require_best()
    final = run.finals.get(winner.number)
    chosen = finalists_decision(run)
    baseline = best["baseline"] if run.baseline else None
    yield "best val_top1", percent(best["value"])
    yield "its 95 % interval", span(chosen[1].top1) if chosen and chosen[1].top1 else "– (one seed)"
    yield "test top-1", percent(final.test_top1) if final else "–"
    yield "baseline val_top1", percent(baseline["value"] if baseline else None)
    yield "training time of all workers", format_duration(run.training_s)
    yield "on the clock", format_duration(run.clock_s) if run.clock_s else "–"
    yield "trials", str(len(run.trials))
    yield "epochs trained", str(len(run.recorded) + len(run.finalist_epochs))
    yield "epochs of a full training", value(best["config"].get("epochs"))
    yield "space", str(run.manifest.get("space", "–"))
    yield "dataset", str(best["dataset"])


def configurations(runs: Sequence[Run]) -> list[Line]:
    """Returns the best configurations with one row for each field; the fields that differ come
    first.
    """
    configs = [_best(run)["config"] for run in runs]
    fields = dict.fromkeys(name for config in configs for name in config)
    lines = [
        Line(name=name, cells=[value(config.get(name)) for config in configs]) for name in fields
    ]
    return sorted(lines, key=lambda line: not line.differs)


def origins(runs: Sequence[Run]) -> list[Line]:
    """Returns the provenance of the runs, one row for each entry. A run with fewer sessions than
    another has a dash in the rows of the later ones.
    """
    columns = [dict(provenance(run.manifest)) for run in runs]
    rows = dict.fromkeys(name for each in columns for name in each)
    return [Line(name=name, cells=[each.get(name, "–") for each in columns]) for name in rows]


def figures(runs: Sequence[Run]) -> Section:
    """Returns the page's section with two figures: the best accuracy over cost, and the curves of
    the best trials.
    """
    panels = [
        Panel(
            key="cost",
            title="Best over cost",
            caption="The best val_top1 so far over the training time of all workers added up, "
            "without the finalists' repeats.",
            figure=over_cost(runs),
            height=420,
        ),
        Panel(
            key="winners",
            title="The best trials",
            caption="val_top1 of each run's best trial, and its accuracy on training images, "
            "dotted: what lies between is the gap.",
            figure=winners(runs),
            height=420,
        ),
    ]
    return Section(key="learning", title="Learning", panels=panels, notes=[])


def over_cost(runs: Sequence[Run]) -> go.Figure:
    """Returns a figure of the best val_top1 so far over the time of training, with one step line
    for each run.
    """
    unit = time_unit(max(map(seconds_of_trials, runs)))
    figure = plot(f"{unit.name} of training", "val_top1", yaxis_tickformat=PERCENT)
    for index, (run, name) in enumerate(zip(runs, names(runs), strict=True)):
        add_progress(figure, run, unit, name=safe(name), color=COLORS[index % len(COLORS)])
    return figure


def winners(runs: Sequence[Run]) -> go.Figure:
    """Returns a figure of the best trials' curves, with two lines for each run: val_top1, and
    dotted the accuracy on training images.
    """
    figure = plot("epoch", "top-1", yaxis_tickformat=PERCENT)
    for index, (run, name) in enumerate(zip(runs, names(runs), strict=True)):
        best = _best(run)
        for field in ("val_top1", "train_top1"):
            add_curve(
                figure,
                run.epochs[best["trial"]],
                field,
                COLORS[index % len(COLORS)],
                name=f"{safe(name)}: trial {best['trial']}",
                legendgroup=str(index),
                showlegend=field == "val_top1",
            )
    lengths = [len(run.epochs[_best(run)["trial"]]) for run in runs]
    figure.update_xaxes(dtick=step_of_epochs(max(lengths)))
    return figure
