"""Runs searches from Python: `from search import Search`, in a program or in a notebook."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from inspect import Parameter, Signature, signature
from io import StringIO
from os import PathLike
from typing import Any, Literal, Self

from rich.console import Console

from common.cli import INTERRUPTED
from common.errors import SearchError, UserError
from common.signals import Interruption, leave
from results.store import MANIFEST
from search.config.options import SearchOptions
from search.monitoring.callback import ReportingMonitor
from search.monitoring.callback import SearchProgress as SearchProgress
from search.monitoring.notebook import NotebookMonitor, in_notebook
from search.planning.plan import Plan
from search.planning.same_space import Space, space_option
from search.session.api.host import check_host, in_host, print_as_before, send_again
from search.session.api.options import check_options, option_values, say_in_python
from search.session.api.request import Request, open_plan
from search.session.api.result import Result
from search.session.dry_run import Estimate, dry_run
from search.session.execute import execute

Show = Literal["table", "lines"] | None
"""A search shows a table in a notebook, lines as on a command line, or nothing."""

WIDTH = 100
"""Lines have this many characters where they don't go to a terminal."""

SIGNALLED = 128
"""The exit code of a search that a signal has ended is this, plus the signal's number."""

STOPPED = "error: the search stopped"
"""The monitor's note on an error that ended the search begins like this."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class DryRun:
    """Holds what a search would do, as a `text` for people, and what it may cost, as `estimate`."""

    text: str
    estimate: Estimate

    def __repr__(self) -> str:
        return self.text


class Search:
    """Searches for the configuration that generalises best, as `python -m search.run` does.

    The options are those of the command line, with underscores in their names. `space` may also be
    a `Space`, `set` and `warm_start` may be mappings and lists, and an option that is `None` has
    its default. Nothing starts before `run`.

    config: a YAML file with further options, over which those given here win.
    show: `"table"` for a table that a notebook keeps up to date (in a terminal, the screen of the
        command line), `"lines"` for a line an event, and `None` for nothing.
    on_progress: is called with a `SearchProgress` whenever a training has ended an epoch, or has
        itself ended. Its first exception becomes a note, and the search goes on without it.

    Raises `OptionsError` with one sentence for each option that is unknown or wrong.
    """

    def __init__(
        self,
        space: str | PathLike[str] | Space | None = None,
        *,
        config: str | PathLike[str] | None = None,
        show: Show = None,
        on_progress: Callable[[SearchProgress], object] | None = None,
        **options: Any,
    ) -> None:
        self._prepare({"space": space, **options}, config, show, on_progress)

    def _prepare(
        self,
        options: dict[str, Any],
        config: str | PathLike[str] | None,
        show: Show,
        on_progress: Callable[[SearchProgress], object] | None,
        **run: Any,
    ) -> None:
        """Holds and checks what is asked for; `run` has the fields of a `Request` that name one."""
        self._space = options["space"]
        self._options = option_values(options | {"space": space_option(self._space)})
        self._run, self._config = run, str(config or "")
        self._show, self._on_progress = show, on_progress
        self._result: Result | None = None
        named = run.get("resume") or run.get("resume_or_start") or ""
        check_options(self._options, self._config, named, show)

    @classmethod
    def resume(
        cls,
        run: str | PathLike[str],
        *,
        space: str | PathLike[str] | Space | None = None,
        config: str | PathLike[str] | None = None,
        accept_space: bool = False,
        show: Show = None,
        on_progress: Callable[[SearchProgress], object] | None = None,
        **options: Any,
    ) -> Self:
        """Returns the search of a run that exists, by its name under `out` or by its folder.

        Options that don't change its results may be given anew, such as `trials="+8"`. A run whose
        space was an object needs the same one again. `accept_space` lets the run go on although the
        ranges of its space have changed. Raises `OptionsError`.
        """
        search = cls.__new__(cls)
        named = {"resume": str(run), "accept_space": accept_space}
        search._prepare({"space": space, **options}, config, show, on_progress, **named)
        return search

    @classmethod
    def resume_or_start(
        cls,
        run: str | PathLike[str],
        space: str | PathLike[str] | Space | None = None,
        *,
        config: str | PathLike[str] | None = None,
        show: Show = None,
        on_progress: Callable[[SearchProgress], object] | None = None,
        **options: Any,
    ) -> Self:
        """Returns the search of a run that exists, or else of a new one of this name, for a cell or
        a program that is started again. Raises `OptionsError`.
        """
        search = cls.__new__(cls)
        named = {"resume_or_start": str(run)}
        search._prepare({"space": space, **options}, config, show, on_progress, **named)
        return search

    @property
    def result(self) -> Result:
        """Returns the result of the latest `run`, also of one that was interrupted.

        Raises `SearchError` where none has begun.
        """
        if self._result is None:
            raise SearchError("The search must have begun, but hasn't; call run() first.")
        return self._result

    def run(self, *, measure: bool = False) -> Result:
        """Runs the search in this process, and returns its result.

        measure: whether to measure anew how fast this machine trains.

        Ctrl-C, which a notebook's stop button sends, ends the search in order and then raises
        `KeyboardInterrupt`: `result` has what was found, and `Search.resume` goes on; a second one
        doesn't wait for running epochs. Raises `UserError` with a sentence for whatever keeps the
        search from starting or going on. It must be called in the main thread.
        """
        check_host()
        table = self._show == "table" and in_notebook()
        report, width = print_as_before(self._on_progress), None if sys.stdout.isatty() else WIDTH
        console = Console(
            highlight=False, force_jupyter=False, quiet=self._show is None, width=width,
            force_interactive=False if self._show == "lines" else None,
        )  # fmt: skip
        with self._open(silent=table or self._show is None) as (plan, resuming):
            trials, quiet = plan.options.trials, self._show is None
            make = NotebookMonitor if table else ReportingMonitor
            monitor = make(console, trials, report, quiet=quiet)
            code = self._execute(plan, monitor, resuming=resuming, measure=measure)
        again = f"Search.resume({str(plan.directory)!r})"
        if code == INTERRUPTED and not monitor.interrupting:
            why = next((note for note in reversed(monitor.notes) if note.startswith(STOPPED)), "")
            raise SearchError(
                f"A search must be able to go on to its end, but stopped{why[len(STOPPED) :]}; "
                f"once that is mended, go on with {again}."
            )
        if code > SIGNALLED:
            send_again(code - SIGNALLED)
            raise KeyboardInterrupt(f"The search has ended in order; {again} goes on with it.")
        return self.result

    @contextmanager
    def _open(self, *, silent: bool) -> Iterator[tuple[Plan, bool]]:
        """Yields the plan, and whether its run exists, in a process that is as before after it.
        Errors name options as Python does.
        """
        try:
            with in_host(silent=silent):
                # Another search may have given another object since.
                options = self._options | option_values({"space": space_option(self._space)})
                with open_plan(Request(options=options, config=self._config, **self._run)) as found:
                    yield found
        except UserError as error:
            raise say_in_python(error) from error
        except Interruption as interruption:
            send_again(interruption.code - SIGNALLED)
            raise

    def _execute(
        self, plan: Plan, monitor: ReportingMonitor, *, resuming: bool, measure: bool
    ) -> int:
        def leave_search(code: int) -> None:
            if threading.current_thread() is not threading.main_thread():
                leave(code)  # the main thread is stuck in Ray, and can't raise anything
            if monitor.interrupting:
                raise KeyboardInterrupt("The search was broken off; what it recorded is on disk.")
            raise SearchError(
                "Ray must live as long as a search, but has died; go on with "
                f"Search.resume({str(plan.directory)!r})."
            )

        try:
            return execute(plan, monitor, resuming=resuming, measure=measure, leave=leave_search)
        finally:
            if (plan.directory / MANIFEST).exists():
                self._result = Result(plan.directory, notes=tuple(monitor.notes))

    def dry_run(self, *, measure: bool = False) -> DryRun:
        """Checks what a search checks, starts nothing, and returns what it would do and may cost.

        measure: whether to measure now how fast this machine trains.

        Raises `UserError` with a sentence for whatever would keep the search from starting.
        """
        check_host()
        text = StringIO()
        console = Console(file=text, width=WIDTH, highlight=False, force_jupyter=False)
        with self._open(silent=True) as (plan, resuming):
            estimate = dry_run(plan, console, resuming=resuming, measure=measure)
        return DryRun(text=text.getvalue(), estimate=estimate)


def _describe_options(search: type[Search]) -> None:
    """Adds every option of the command line to what `help` and editors show of `search`."""
    own = signature(search.__init__).parameters.values()
    known = [
        Parameter(f.name, Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type)
        for f in fields(SearchOptions)
        if f.name != "space"
    ]
    listed = [each for each in own if each.kind is not Parameter.VAR_KEYWORD]
    search.__signature__ = Signature([*listed[1:], *known])  # type: ignore[attr-defined]
    lines = [f"    {f.name}: {f.metadata['help']}" for f in fields(SearchOptions)]
    search.__doc__ = f"{search.__doc__}\n    The options are these:\n\n" + "\n".join(lines)


_describe_options(Search)
