"""Draws the section on calibration, which compares a network's confidence with its accuracy."""

import plotly.graph_objects as go

from results.analysis.error_analysis import BINS, Bin, Calibration
from results.page.figure import PERCENT, Panel, Section, plot
from results.page.formatting import percent

RIGHT, WRONG, EQUAL = "#3a8fd0", "#d55e00", "#e69f00"
"""In the calibration figures, right predictions, wrong ones, and the line on which accuracy equals
confidence have these colours.
"""


def calibration_section(found: Calibration) -> Section:
    """Returns the page's section with the reliability diagram and the histogram of confidence."""
    bins = [each for each in found.bins if each.images]
    panels = [
        Panel(
            key="reliability",
            title="Reliability diagram",
            caption="Accuracy of the images whose confidence lies in each of "
            f"{BINS} bins of equal width. On the dotted line accuracy and confidence are equal; "
            f"below it the network is too sure. ECE {percent(found.ece)}: how far the bins are "
            "from it, weighted by their images.",
            figure=_reliability(bins),
            height=360,
            beside=2,
        ),
        Panel(
            key="confidence",
            title="How sure it is",
            caption="Images in each bin. Confidence is the softmax probability of the class that "
            f"was predicted, {percent(found.confidence)} on average.",
            figure=_images(bins),
            height=360,
            beside=2,
        ),
    ]
    return Section(key="calibration", title="Calibration", panels=panels, notes=[])


def _reliability(bins: list[Bin]) -> go.Figure:
    figure = plot("confidence", "accuracy", xaxis_tickformat=PERCENT, yaxis_tickformat=PERCENT)
    figure.add_bar(
        x=_middles(bins),
        y=[each.accuracy for each in bins],
        width=[0.92 / BINS] * len(bins),
        customdata=[f"{percent(b.accuracy)} right, {percent(b.confidence)} sure" for b in bins],
        hovertemplate="%{customdata}<extra></extra>",
        name="accuracy",
        marker={"color": RIGHT},
    )
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="equal", hoverinfo="skip",
        line={"color": EQUAL, "dash": "dot", "width": 3},
    )  # fmt: skip
    figure.update_xaxes(range=[0, 1.005])
    figure.update_layout(margin_r=28)  # room for the last tick's label
    figure.update_yaxes(range=[0, 1.005])
    return figure


def _images(bins: list[Bin]) -> go.Figure:
    figure = plot("confidence", "test images", xaxis_tickformat=PERCENT, barmode="stack")
    right = [round((each.accuracy or 0) * each.images) for each in bins]
    wrong = [each.images - hits for each, hits in zip(bins, right, strict=True)]
    for name, values, color in (("right", right, RIGHT), ("wrong", wrong, WRONG)):
        figure.add_bar(
            x=_middles(bins),
            y=values,
            width=[0.92 / BINS] * len(bins),
            name=name,
            hovertemplate="%{y} " + name + "<extra></extra>",
            marker={"color": color},
        )
    figure.update_xaxes(range=[0, 1.005])
    figure.update_layout(margin_r=28)  # room for the last tick's label
    return figure


def _middles(bins: list[Bin]) -> list[float]:
    return [(each.low + each.high) / 2 for each in bins]
