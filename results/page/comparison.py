"""Several runs beside each other: their numbers, their best over cost, their configurations."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from common.text import format_duration
from results.page.curves import add_progress
from results.page.figure import PERCENT, Panel, Section, plot, safe
from results.page.formatting import percent, span, value
from results.page.headline import decided
from results.page.run_data import Run
from results.page.table import provenance

COLORS = ("#3a8fd0", "#e69f00", "#009e73", "#cc4f8f", "#8a6fd1", "#d55e00", "#56b4e9", "#8d96a3")


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One row of a table with a column a run."""

    name: str
    cells: list[str]

    @property
    def differs(self) -> bool:
        """Whether not all cells are equal."""
        return len(set(self.cells)) > 1


def names(runs: Sequence[Run]) -> list[str]:
    """What each run is called: its folder where two have one name."""
    called = [run.name for run in runs]
    return [
        str(run.directory) if called.count(name) > 1 else name
        for run, name in zip(runs, called, strict=True)
    ]


def cautions(runs: Sequence[Run]) -> list[str]:
    """Why the numbers of these runs can't simply be compared, if they can't."""
    said = []
    if _several(runs, lambda run: run.manifest["dataset"]["fingerprint"]):
        said.append("These runs saw different images: a higher val_top1 is no better result.")
    if _several(runs, lambda run: run.best["config"].get("weights") == "none"):
        said.append("Some begin with pretrained weights and some from scratch: two tracks.")
    if _several(runs, lambda run: run.best["config"].get("epochs")):
        said.append("Their best trials were to be trained for different numbers of epochs.")
    if _several(runs, lambda run: decided(run) is None):
        said.append("Some values are means over fresh seeds, the others one seed's best epoch.")
    return said


def _several(runs: Sequence[Run], told: Callable[[Run], Any]) -> bool:
    return len({told(run) for run in runs}) > 1


def headline(runs: Sequence[Run]) -> str:
    """Which run found the best configuration, if that can be said."""
    if _several(runs, lambda run: run.manifest["dataset"]["fingerprint"]):
        return f"{len(runs)} runs on different images"
    best = max(range(len(runs)), key=lambda index: runs[index].best["value"])
    run, name = runs[best], names(runs)[best]
    reached = percent(run.best["value"])
    return f"{name} has the highest val_top1: {reached}, by trial {run.winner.number}"


def numbers(runs: Sequence[Run]) -> list[Line]:
    """The runs' numbers, a row each."""
    told = [dict(_numbers(run)) for run in runs]
    return [Line(name=name, cells=[each[name] for each in told]) for name in told[0]]


def _numbers(run: Run) -> Iterator[tuple[str, str]]:
    final = run.finals.get(run.winner.number)
    chosen = decided(run)
    baseline = run.best["baseline"] if run.baseline else None
    yield "best val_top1", percent(run.best["value"])
    yield "its 95 % interval", span(chosen[1].top1) if chosen and chosen[1].top1 else "– (one seed)"
    yield "test top-1", percent(final.test_top1) if final else "–"
    yield "baseline val_top1", percent(baseline["value"] if baseline else None)
    yield "training time of all workers", format_duration(run.training_s)
    yield "on the clock", format_duration(run.clock_s) if run.clock_s else "–"
    yield "trials", str(len(run.trials))
    yield "epochs trained", str(len(run.recorded) + len(run.finalist_epochs))
    yield "epochs of a full training", value(run.best["config"].get("epochs"))
    yield "space", str(run.manifest.get("space", "–"))
    yield "dataset", str(run.best["dataset"])


def configurations(runs: Sequence[Run]) -> list[Line]:
    """The best configurations field by field, those that differ first."""
    configs = [run.best["config"] for run in runs]
    fields = dict.fromkeys(name for config in configs for name in config)
    lines = [
        Line(name=name, cells=[value(config.get(name)) for config in configs]) for name in fields
    ]
    return sorted(lines, key=lambda line: not line.differs)


def origins(runs: Sequence[Run]) -> list[Line]:
    """Provenance, a row each; runs with fewer sittings have a dash in the later ones."""
    told = [dict(provenance(run.manifest)) for run in runs]
    rows = dict.fromkeys(name for each in told for name in each)
    return [Line(name=name, cells=[each.get(name, "–") for each in told]) for name in rows]


def figures(runs: Sequence[Run]) -> Section:
    """The section of both figures."""
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
    """A step line a run."""
    figure = plot("hours of training", "val_top1", yaxis_tickformat=PERCENT)
    for index, (run, name) in enumerate(zip(runs, names(runs), strict=True)):
        add_progress(figure, run, name=safe(name), color=COLORS[index % len(COLORS)])
    return figure


def winners(runs: Sequence[Run]) -> go.Figure:
    """Two lines a run."""
    figure = plot("epoch", "top-1", yaxis_tickformat=PERCENT)
    for index, (run, name) in enumerate(zip(runs, names(runs), strict=True)):
        epochs = run.epochs[run.winner.number]
        for dash, values in (
            ("solid", [m.val_top1 for m in epochs]),
            ("dot", [m.train_top1 for m in epochs]),
        ):
            figure.add_scatter(
                x=[m.epoch for m in epochs],
                y=values,
                mode="lines+markers",
                line={"color": COLORS[index % len(COLORS)], "dash": dash, "width": 2.5},
                name=f"{safe(name)}: trial {run.winner.number}",
                hovertemplate="epoch %{x}: %{y:.1%}",
                legendgroup=str(index),
                showlegend=dash == "solid",
            )
    return figure
