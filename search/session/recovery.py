"""Goes on after Ray itself has died: with a new process, once, or with an end in order."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from common.cli import INTERRUPTED
from search.monitoring.monitor import Monitor
from search.planning.plan import Plan
from search.ray_backend.local_ray import keep_logs, remove_files
from search.session.finish import finish
from search.session.hooks.hooks import Hooks
from search.session.session import Session
from search.session.steering.steered_session import steered_plan

AGAIN = "SEARCH_AFTER_RAY_DIED"
"""A process that goes on after Ray has died has this variable in its environment."""


class Recovery:
    """Ends a session whose Ray has died, and its process.

    again: the words of the command line by which a new process goes on from the records; empty
        where none can, as on a cluster.
    hooks: the user's commands, of which that for the end is run before the process ends.
    replace: replaces this process by another program, as `os.execve` does.
    leave: ends this process with an exit code.
    """

    def __init__(
        self,
        plan: Plan,
        monitor: Monitor,
        again: Sequence[str] = (),
        *,
        hooks: Hooks | None = None,
        replace: Callable[[str, list[str], dict[str, str]], object] = os.execve,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self._plan, self._monitor = plan, monitor
        self._replace, self._leave, self._hooks = replace, leave, hooks
        second = os.environ.pop(AGAIN, None) is not None  # Ray's processes don't inherit it
        self._again = [] if second else list(again)
        self._environment = dict(os.environ)  # as it is before Ray starts, and adds to it
        self.session: Session | None = None

    def interrupted(self, words: str) -> None:
        """Shows what Ctrl-C does; after it no new process is started."""
        self._again = []
        self._monitor.interrupted(words)

    def conclude(self, reason: str) -> None:
        """Closes the session, then replaces this process by one that goes on from the records, or
        ends it: with the summary, best.yaml, the report, and the command that resumes the run.

        reason: why Ray counts as dead.
        """
        if self.session:
            with suppress(OSError, ValueError):  # closed already, or the disk is full
                self.session.close()
        if self._again:
            remove_files(self._plan.directory)
            self._monitor.warn(f"Ray has died ({reason}): a new process goes on from the records.")
            if self._hooks:
                self._hooks.finish_best()
            try:
                self._start_again()
            except OSError as error:
                self._monitor.warn(f"A new process can't be started ({error}).")
        self._monitor.warn(f"error: the search stopped: Ray has died ({reason}).")
        if kept := keep_logs(self._plan.directory):
            self._monitor.warn(kept)
        remove_files()
        code = INTERRUPTED
        if self.session is None:
            self._monitor.warn("No trial had begun: run the same command again.")
        else:
            plan = steered_plan(self._plan, self.session.manifest)
            code = finish(plan, self._monitor.console, interrupted=True)
            self.session.storage_sync.close()
        if self._hooks:
            self._hooks.error = f"Ray has died ({reason})."
            self._hooks.ended(code)
        _flush()
        self._leave(code)

    def _start_again(self) -> None:
        _flush()
        for descriptor in list(Path("/proc/self/fd").iterdir()):
            with suppress(OSError):  # that of the listing itself
                os.set_inheritable(int(descriptor.name), int(descriptor.name) <= 2)
        command = [sys.executable, "-m", "search.run", *self._again]
        self._replace(sys.executable, command, self._environment | {AGAIN: "1"})


def words_to_go_on(given: Sequence[str], plan: Plan, *, resumed: bool) -> list[str]:
    """Returns the words of the command line that goes on with a search which began with `given`.

    All of its options are given again, because the records lack the secrets among them. A number
    of trials such as `+5` counts once.

    resumed: whether `given` names the run with `--resume`.
    """
    name = [] if resumed else ["--resume-or-start", str(plan.directory)]
    return [*given, *name, "--trials", str(plan.options.trials)]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
