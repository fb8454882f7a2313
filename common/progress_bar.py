"""Shows the progress of a long job: as a bar on a terminal, and as a line every few seconds in a
pipe.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_EVERY_S = 5.0
"""If stderr isn't a terminal, progress lines are at least this many seconds apart; the last one is
always printed.
"""


@contextmanager
def progress(what: str, total: int, unit: str, start: int = 0) -> Iterator[Callable[[int], None]]:
    """Shows progress on stderr and yields a function to be called with each further amount done.

    what: a label for the job.
    total, start: the final and the initial amount, in `unit`.
    unit: what is counted; «bytes» shows file sizes.
    """
    if sys.stderr.isatty():
        with _bar(what, total, unit, start) as advance:
            yield advance
    else:
        yield _lines(what, total, unit, start)


@contextmanager
def _bar(what: str, total: int, unit: str, start: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    counts = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), counts, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=start)
        yield lambda amount: bar.advance(task, amount)


def _lines(what: str, total: int, unit: str, start: int) -> Callable[[int], None]:
    done, last = start, time.monotonic()

    def advance(amount: int) -> None:
        nonlocal done, last
        done += amount
        now = time.monotonic()
        if now - last >= LINE_EVERY_S or done == total:
            last = now
            print(f"{what}: {done:,} / {total:,} {unit}", file=sys.stderr, flush=True)

    return advance
