"""Draws the progress of a search as one screen of a terminal."""

import math
from collections.abc import Sequence

from rich.console import Group
from rich.text import Text

from common.text import format_clock
from results.analysis.expected_gain import describe_gain
from results.analysis.machine_use import MachineUse
from results.records import TrialState
from search.monitoring.progress import Progress
from search.monitoring.training_progress import TrainingProgress

GLYPHS = "▁▂▃▄▅▆▇█"
"""The terminal's curves are drawn with these eight characters, from the lowest to the highest
value.
"""
TOP = 5
"""The leaderboard shows this many trials."""
SHORTEST_CURVE = 8
"""A curve has room for at least this many characters."""
_NAME, _LABEL, _FIGURES = 22, 11, 24
"""These are the widths, in characters, of the columns for names, for the bars' labels, and for the
bars' figures.
"""


def draw_screen(
    progress: Progress, width: int, height: int, use: MachineUse | None = None
) -> Group:
    """Returns lines that fit into `width` × `height` characters, among them how busy this machine
    is, if that is known. The list of running trainings is cut to the rows that are left.
    """
    head, tail = [*_head(progress, width), *_bars(progress, width)], _tail(progress, use)
    best = _best(progress)
    free = height - len(head) - len(tail) - len(best) - 1
    if free < 2:  # a low terminal shows the running trainings rather than the leaderboard
        best = best[: max(len(best) + free - 2, 0)]
        free = height - len(head) - len(tail) - len(best) - 1
    lines = [*head, *_running(progress, width, max(free, 1)), *best, *tail]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*lines[:height])


def sparkline(values: Sequence[float | None], low: float, high: float, width: int) -> str:
    """Returns a curve in at most `width` characters, each of which shows the last one of the epochs
    that it stands for.

    `low` and `high` are the values of the lowest and the highest glyph; a value that isn't finite
    becomes a dot.
    """
    if len(values) > width:
        values = [values[(index + 1) * len(values) // width - 1] for index in range(width)]
    return "".join(_glyph(value, low, high) for value in values)


def _glyph(value: float | None, low: float, high: float) -> str:
    if value is None or not math.isfinite(value):
        return "·"
    share = (value - low) / (high - low) if high > low else 1.0
    return GLYPHS[min(max(int(share * len(GLYPHS)), 0), len(GLYPHS) - 1)]


def _head(progress: Progress, width: int) -> list[Text]:
    left = progress.time_left_s()
    rest = "" if left is None else f", about {format_clock(left)} left"
    if rest and not progress.epochs_done():
        rest += f" ({progress.limits.epoch_source})"
    clock = f"  {format_clock(progress.elapsed_s())}{rest} "
    title = Text.assemble(("── ", "dim"), (progress.limits.title or "search", "bold"), clock)
    title.append("─" * max(width - len(title), 0), style="dim")
    return [title, *([Text(progress.notice, style="bold yellow")] if progress.notice else [])]


def _bars(progress: Progress, width: int) -> list[Text]:
    """Returns one progress bar for each limit, and one for the expected epochs."""
    limits, done = progress.limits, progress.epochs_done()
    ended, expected = sum(progress.endings().values()), done + progress.epochs_left()
    rows: list[tuple[str, float, float, str]] = []
    if limits.screening and not progress.trials[1:]:
        short = sum(each.ended for each in progress.screening)
        rows.append(("screening", short, limits.screening, f"{short} of {limits.screening}"))
    rows += [
        ("trials", ended, float(limits.trials), f"{ended} of {limits.trials}"),
        ("epochs", done, expected, f"{done} of about {expected:.0f}"),
    ]
    if limits.finalists:
        repeats = sum(each.ended for each in progress.repeats)
        figures = f"{repeats} of {limits.finalists}"
        rows.append(("finalists", repeats, limits.finalists, figures))
    if limits.time_s is not None:
        figures = f"{format_clock(progress.used_s())} of {format_clock(limits.time_s)}"
        rows.append(("time", progress.used_s(), limits.time_s, figures))
    if limits.gpu_hours is not None:
        hours = progress.gpu_time().held_s / 3600
        figures = f"{hours:.2f} of {limits.gpu_hours:g}"
        rows.append(("GPU-hours", hours, limits.gpu_hours, figures))
    return [_bar(*row, width) for row in rows]


def _bar(label: str, done: float, whole: float, figures: str, width: int) -> Text:
    length = max(width - _LABEL - _FIGURES - 2, 10)
    share = min(max(done / whole, 0.0), 1.0) if whole > 0 else 0.0
    filled = int(share * length)
    return Text.assemble(
        f"{label:<{_LABEL}}",
        ("━" * filled, "green"),
        ("─" * (length - filled), "dim"),
        f"  {figures}",
    )


def _running(progress: Progress, width: int, room: int) -> list[Text]:
    """Returns the lines of the running trainings: an empty line, a heading, and at most `room`
    further ones.
    """
    running = progress.under_way()
    columns = f"{'epoch':>9}{'val_top1':>10}{'gap':>8}  curve"
    lines = [Text(), Text(f"{f'running {len(running)}':<{_NAME}}{columns}", style="bold")]
    shown = running if len(running) < room else running[: max(room - 2, 0)]
    values = [m.val_top1 for each in running for m in each.metrics if m.val_top1 is not None]
    leader = progress.leader()
    low = min(values, default=0.0)
    high = (leader and leader.last_val_top1) or max(values, default=1.0)
    space = max(width - _NAME - 29, SHORTEST_CURVE)
    for each in shown:
        curve = sparkline([m.val_top1 for m in each.metrics], low, high, space)
        lines.append(Text.assemble(_figures(each), "  ", (curve, "cyan")))
    if len(shown) < len(running):
        lines.append(Text(f"… and {len(running) - len(shown)} more", style="dim"))
    return lines


def _figures(training: TrainingProgress) -> str:
    last = training.metrics[-1] if training.metrics else None
    top1, gap = (last.val_top1, last.gap) if last else (None, None)
    return (
        f"{_cut(training.name):<{_NAME}}{f'{len(training.metrics)}/{training.length}':>9}"
        f"{_number(top1, '.3f'):>10}{_number(gap, '+.3f'):>8}"
    )


def _cut(name: str) -> str:
    return name if len(name) < _NAME else name[: _NAME - 2] + "…"


def _number(value: float | None, digits: str) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:{digits}}"


def _best(progress: Progress) -> list[Text]:
    """Returns the lines of the leaderboard, with the baseline where it isn't among the top
    trials.
    """
    leaders = progress.leaders()
    shown = [(rank, each) for rank, each in enumerate(leaders, 1) if rank <= TOP or each.baseline]
    lines = [Text(), Text(f"{'best':<{_NAME}}{'epochs':>9}{'val_top1':>10}", style="bold")]
    for rank, each in shown[: TOP + 1]:
        name = f"{rank:>2}  {each.name}" + (" ◂" if each.baseline else "")
        figures = f"{len(each.metrics):>9}{_number(each.last_val_top1, '.3f'):>10}"
        row = f"{name:<{_NAME}}{figures}  {_describe_state(each)}"
        lines.append(Text(row, style="yellow" if each.baseline else ""))
    return lines if leaders else []


def _describe_state(training: TrainingProgress) -> str:
    if training.under_way:
        return "running"
    if not training.ended:
        return "unfinished"
    return str(training.reason or training.state)


def _tail(progress: Progress, use: MachineUse | None) -> list[Text]:
    """Returns the lines on how trials ended, on what the rungs are worth, on the speed of training
    and on the machine.
    """
    endings = progress.endings()
    words = []
    for state in (TrialState.COMPLETE, TrialState.STOPPED, TrialState.FAILED):
        reasons = {why: count for (how, why), count in endings.items() if how is state}
        if total := sum(reasons.values()):
            named = sorted((-count, str(why)) for why, count in reasons.items() if why)
            why = ", ".join(f"{name} {-count}" for count, name in named)
            words.append(f"{state} {total}" + (f" ({why})" if why else ""))
    speed = f"{progress.images_per_s():,.0f} images/s"
    if held := progress.gpu_time().describe():
        speed += f", {held}"
    ended = sum(each.ended and each.number >= progress.limits.first for each in progress.trials)
    gain = describe_gain(progress.gain(), ended)
    rungs = ", ".join(f"{each.rung}→{each.later} {each.describe()}" for each in progress.rungs)
    return [
        Text(),
        Text("; ".join(words) or "no trial has ended yet"),
        *([Text(f"expected gain: {gain}")] if progress.limits.objectives == 1 else []),
        *([Text(f"rungs' rank correlation: {rungs}")] if rungs else []),
        Text(speed),
        *([Text(f"this machine: {use.describe()}")] if use else []),
    ]
