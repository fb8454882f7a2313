"""Draws a line chart with intervals as SVG, without a plotting library."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 900, 420
"""The figure has this size, in pixels."""
LEFT, RIGHT, TOP, BOTTOM = 52, 310, 36, 40
"""The axes leave these margins, in pixels; the legend stands in the right one."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f", "#000000")
"""Lines have the colours of Okabe and Ito, which are distinct for readers with any kind of colour
vision.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Holds the line of one policy, with its interval. The values belong to equal steps of the
    budget, the last one to its end.
    """

    name: str
    middle: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    at: Sequence[float] = ()


def draw(lines: Sequence[Line], title: str) -> str:
    """Returns the figure as SVG: values from 0 up, over the shares of the budget."""
    top = _round_up(max((max(line.high) for line in lines), default=0.0))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>',
        *_grid(top),
    ]
    for index, line in enumerate(lines):
        colour = COLOURS[index % len(COLOURS)]
        dash = ' stroke-dasharray="6 3"' if index >= len(COLOURS) else ""
        at = line.at or [step / len(line.middle) for step in range(1, len(line.middle) + 1)]
        band = [*_points(at, line.low, top), *reversed(_points(at, line.high, top))]
        parts.append(f'<polygon points="{" ".join(band)}" fill="{colour}" opacity="0.12"/>')
        parts.append(
            f'<polyline points="{" ".join(_points(at, line.middle, top))}" fill="none" '
            f'stroke="{colour}" stroke-width="2"{dash}/>'
        )
        x, y = WIDTH - RIGHT + 16, TOP + 10 + 20 * index
        parts.append(
            f'<line x1="{x}" x2="{x + 22}" y1="{y}" y2="{y}" stroke="{colour}" '
            f'stroke-width="2"{dash}/><text x="{x + 28}" y="{y + 4}">{escape(line.name)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _grid(top: float) -> list[str]:
    """Returns the horizontal grid lines with their values, and the labels of the budget's
    quarters.
    """
    parts = []
    for step in range(6):
        y = _y(top * step / 5, top)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        text = f"{top * step / 5:g}"
        parts.append(f'<text x="{LEFT - 6}" y="{float(y) + 4:g}" text-anchor="end">{text}</text>')
    for quarter in range(5):
        x = LEFT + (WIDTH - RIGHT - LEFT) * quarter / 4
        at = f'x="{x:g}" y="{HEIGHT - BOTTOM + 18}"'
        parts.append(f'<text {at} text-anchor="middle">{25 * quarter} %</text>')
    return parts


def _points(at: Sequence[float], values: Sequence[float], top: float) -> list[str]:
    width = WIDTH - RIGHT - LEFT
    pairs = zip(at, values, strict=True)
    return [f"{LEFT + width * share:.1f},{_y(value, top)}" for share, value in pairs]


def _y(value: float, top: float) -> str:
    return f"{HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top:.1f}"


def _round_up(value: float) -> float:
    """Returns the next multiple of 25, for even labels, and at least 25."""
    return 25.0 * max(1, -(-value // 25))
