"""Shows the progress of a search in a notebook, as a table that is drawn anew in its place."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from importlib import import_module
from threading import current_thread, main_thread
from typing import Any

from rich.console import Console

from common.text import format_clock, redacted
from results.records import EpochMetrics, TrainingId, TrainingRecord
from search.monitoring.callback import ReportingMonitor, SearchProgress
from search.monitoring.progress import Progress
from search.monitoring.training_progress import TrainingProgress

EVERY_S = 0.5
"""The table is drawn anew at most this often, in seconds, while the search runs."""

BEST = 10
"""The table shows this many of the best trials."""

NOTES = 5
"""The table shows this many of the latest notes on what went wrong."""

_CELL = "padding:2px 12px 2px 0;text-align:{}"


def in_notebook() -> bool:
    """Returns whether this process is the kernel of a notebook, which can show tables."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


def draw_table(
    progress: Progress, stage: str = "", notes: Sequence[str] = (), address: str = ""
) -> str:
    """Returns the search as HTML: what is done and left, the `address` of its page, a row for each
    running training and each of the `BEST` trials, and the latest `notes`. `stage` is what happens
    before the first trial.
    """
    limits, leaders = progress.limits, progress.leaders()
    ended, left = sum(progress.endings().values()), progress.time_left_s()
    facts = [f"{ended} of {limits.trials} trials ended", format_clock(progress.elapsed_s())]
    if progress.under_way() and left is not None:
        facts.append(f"about {format_clock(left)} left")
    if not progress.trainings and stage:
        facts = [stage]
    ranked = [(str(rank), each) for rank, each in enumerate(leaders, 1)]
    shown = [(rank, each) for rank, each in ranked if int(rank) <= BEST or each.baseline]
    running = [("", each) for each in progress.under_way() if each not in leaders[:BEST]]
    lines = [f"<div><b>{_text(limits.title or 'search')}</b> · {_text(', '.join(facts))}</div>"]
    if address:  # as it is, because a token in it opens the page
        lines.append(f"<div>{escape(address)}</div>")
    if ended or progress.trainings:
        share = min(100 * ended / max(limits.trials, 1), 100)
        lines.append(f'<progress max="100" value="{share:.0f}" style="width:24em"></progress>')
        lines.append(_rows((*shown, *running)))
    if progress.notice:
        lines.append(f"<div><b>{_text(progress.notice)}</b></div>")
    lines += [f'<div style="color:#b00">{_text(note)}</div>' for note in notes[-NOTES:]]
    return "\n".join(lines)


def _rows(trainings: Iterable[tuple[str, TrainingProgress]]) -> str:
    columns = ("rank", "trial", "epoch", "val_top1", "gap", "state")
    head = "".join(f'<th style="{_CELL.format("left")}">{name}</th>' for name in columns)
    rows = "\n".join(_row(rank, each) for rank, each in trainings)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"


def _row(rank: str, training: TrainingProgress) -> str:
    last = training.metrics[-1] if training.metrics else None
    top1, gap = (last.val_top1, last.gap) if last else (None, None)
    state = "running" if training.under_way else str(training.reason or training.state)
    cells = (
        rank,
        training.name,
        f"{len(training.metrics)}/{training.length}",
        "–" if top1 is None else f"{top1:.3f}",
        "–" if gap is None else f"{gap:+.3f}",
        state if training.under_way or training.ended else "unfinished",
    )
    style = _CELL.format("left")
    return "<tr>" + "".join(f'<td style="{style}">{_text(cell)}</td>' for cell in cells) + "</tr>"


def _text(text: str) -> str:
    return escape(redacted(text))


class NotebookMonitor(ReportingMonitor):
    """Shows a search in the output of a notebook's cell, and prints nothing.

    console: prints nothing from now on.
    display: shows a first HTML text, and returns a function that puts another one in its place.
        Where that fails, the search goes on without the table.
    """

    def __init__(
        self,
        console: Console,
        trials: int,
        report: Callable[[SearchProgress], object] | None = None,
        *,
        quiet: bool = False,
        display: Callable[[str], Callable[[str], object]] | None = None,
    ) -> None:
        console.quiet = True
        super().__init__(console, trials, report, quiet=quiet)
        self.inform = self._say
        self._display: Callable[[str], Callable[[str], object]] | None = display or show_html
        self._update: Callable[[str], object] | None = None
        self._stage, self._address, self._drawn = "begins", "", 0.0
        self._draw_again(at_once=True)

    def _say(self, text: str) -> None:
        self._stage = " ".join(text.split())
        self._draw_again(at_once=not self.progress.trainings)

    def show_address(self, text: str) -> None:
        """Shows an address above the trials until the search ends."""
        if not self._quiet:
            self._address = text
            self._draw_again(at_once=True)

    def _note(self, text: str) -> None:
        super()._note(text)
        self._draw_again(at_once=True)

    def interrupted(self, words: str) -> None:
        """Shows at once what a signal does."""
        self.interrupting = True
        self.progress.notice = words
        self._draw_again(at_once=True)

    def epoch(self, training: TrainingId, metrics: EpochMetrics, *, new: bool = True) -> None:
        """Draws the table with the epoch in it."""
        super().epoch(training, metrics, new=new)
        self._draw_again()

    def ended(self, record: TrainingRecord) -> None:
        """Draws the table with the end of a training in it."""
        super().ended(record)
        self._draw_again()

    def tick(self) -> None:
        """Draws the table if the last time is a while ago."""
        self._draw_again()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Draws the table for the last time after the block."""
        try:
            yield
        finally:
            self._draw_again(at_once=True)

    def _draw_again(self, *, at_once: bool = False) -> None:
        soon = not at_once and time.monotonic() - self._drawn < EVERY_S
        # Notebooks show what the main thread displays below the cell that runs.
        if self._display is None or soon or current_thread() is not main_thread():
            return
        self._drawn = time.monotonic()
        try:
            text = draw_table(self.progress, self._stage, self.notes, self._address)
            if self._update is None:
                self._update = self._display(text)
            else:
                self._update(text)
        except Exception as error:  # of the notebook's packages
            self._display = None
            self.notes.append(f"The table can't be shown ({type(error).__name__}: {error}).")


def show_html(text: str) -> Callable[[str], object]:
    """Shows an HTML text below a notebook's cell, and returns a function that replaces it there."""
    display: Any = import_module("IPython.display")
    handle = display.display(display.HTML(text), display_id=True)
    return lambda newer: handle.update(display.HTML(newer))
