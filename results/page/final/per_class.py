"""Shows how well each class is recognised, in a figure and in a table of all classes."""

import plotly.graph_objects as go

from results.analysis.error_analysis import ClassResult, by_class
from results.analysis.final_run import FinalRun
from results.page.figure import PERCENT, Panel, Section, plot, safe
from results.page.formatting import count, percent
from results.page.table import Cell

NAMED = 40
"""A figure with at most this many classes has room for their names."""

COLOR = "#3a8fd0"


def classes(trained: FinalRun) -> Section:
    """Returns the page's section with the figure of each class's accuracy on test."""
    found = _best_first(trained)
    names = trained.class_names
    named = len(found) <= NAMED
    seen = [result for result in found if result.accuracy is not None]
    ends = (
        f" From {names[seen[0].label]} ({percent(seen[0].accuracy)}) to "
        f"{names[seen[-1].label]} ({percent(seen[-1].accuracy)})."
    )
    more = "" if named else " A name is told under the pointer, and all of them in the table below."
    panel = Panel(
        key="classes",
        title="Accuracy of each class",
        caption=f"The share of a class's test images that are recognised.{ends}{more}",
        figure=_bars_with_names(seen, names) if named else _bars_by_rank(seen, names),
        height=60 + 22 * len(seen) if named else 340,
    )
    unseen = len(found) - len(seen)
    notes = [f"{count(unseen, 'class')} without test images."] if unseen else []
    return Section(key="classes", title="Classes", panels=[panel], notes=notes)


def _best_first(trained: FinalRun) -> list[ClassResult]:
    found = by_class(trained.predictions)
    return sorted(found, key=lambda each: (-(each.accuracy or 0.0), each.label))


def _bars_with_names(found: list[ClassResult], names: list[str]) -> go.Figure:
    figure = plot("recognised", "", xaxis_tickformat=PERCENT, bargap=0.25)
    figure.add_bar(
        x=[each.accuracy for each in found],
        y=[safe(names[each.label]) for each in found],
        customdata=_hover(found, names),
        hovertemplate="%{customdata}<extra></extra>",
        orientation="h",
        marker={"color": COLOR},
    )
    figure.update_xaxes(range=[0, 1.005])
    figure.update_layout(margin_r=28)  # room for the last tick's label
    figure.update_yaxes(autorange="reversed", automargin=True, dtick=1, ticklabelstandoff=6)
    return figure


def _bars_by_rank(found: list[ClassResult], names: list[str]) -> go.Figure:
    figure = plot("classes, the best first", "recognised", yaxis_tickformat=PERCENT, bargap=0)
    figure.add_bar(
        x=list(range(1, len(found) + 1)),
        y=[each.accuracy for each in found],
        customdata=_hover(found, names),
        hovertemplate="%{customdata}<extra></extra>",
        marker={"color": COLOR},
    )
    figure.update_yaxes(range=[0, 1.005])
    return figure


def _hover(found: list[ClassResult], names: list[str]) -> list[str]:
    return [
        f"{safe(names[each.label])}: {percent(each.accuracy)} of {each.images}" for each in found
    ]


COLUMNS = (
    "class", "accuracy", "recognised", "test images", "precision", "most often taken for",
    "how often",
)  # fmt: skip
"""The table of classes has these columns."""


def class_rows(trained: FinalRun) -> list[list[Cell]]:
    """Returns one table row for each class, with the columns `COLUMNS`; the class with the lowest
    accuracy comes first.
    """
    names = trained.class_names
    return [_row(each, names) for each in reversed(_best_first(trained))]


def _row(each: ClassResult, names: list[str]) -> list[Cell]:
    other, often = each.taken_for or (None, None)
    return [
        Cell(text=names[each.label], key=names[each.label]),
        Cell(text=percent(each.accuracy), key=each.accuracy),
        Cell(text=str(each.right), key=each.right),
        Cell(text=str(each.images), key=each.images),
        Cell(text=percent(each.precision), key=each.precision),
        Cell(
            text="–" if other is None else names[other], key=None if other is None else names[other]
        ),
        Cell(text="–" if often is None else str(often), key=often),
    ]
