"""Runs a user's commands beside a search, which doesn't wait for them and isn't harmed by them."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from common.text import format_duration
from search.session.hooks.outcome import SearchOutcome

LIMIT_S = 60.0
"""A command is ended after so many seconds."""

LOG = "hooks.log"
"""This file in the run's folder, which its user alone may read, gets what the commands print."""

_GRACE_S = 2.0


def run_command(
    command: str,
    outcome: SearchOutcome,
    log: Path | None,
    environment: Mapping[str, str],
    limit_s: float = LIMIT_S,
) -> str | None:
    """Runs a command in a shell with the outcome, for at most `limit_s` seconds, and returns why it
    failed, or `None`. Whatever it has started in its own process group ends with it at the limit.

    log: the file that gets what the command prints; without one the terminal does.
    """
    began = time.monotonic()
    try:
        with _open_log(log) as output:
            text = f"# {datetime.now(UTC).isoformat(timespec='seconds')} on-{outcome.event}"
            print(text, file=output, flush=True)
            why = _run(command, outcome, output, environment, limit_s)
            took = format_duration(time.monotonic() - began)
            print(f"# {why or 'done'}, after {took}", file=output)
    except OSError as error:  # no room for a process, or in the log
        return f"it couldn't be run ({error})"
    return why


def _run(
    command: str,
    outcome: SearchOutcome,
    output: IO[str],
    environment: Mapping[str, str],
    limit_s: float,
) -> str | None:
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**environment, **outcome.environment()},
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C is the search's
    )
    try:
        process.communicate(outcome.to_json(), timeout=limit_s)
    except subprocess.TimeoutExpired:
        return f"it didn't end within {format_duration(limit_s)}"
    finally:
        _end(process)
    return f"it ended with exit code {process.returncode}" if process.returncode else None


def _end(process: "subprocess.Popen[str]") -> None:
    """Ends the process group of a command that hasn't ended by itself."""
    if process.poll() is None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
                break
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()


def _open_log(log: Path | None) -> IO[str]:
    """Opens the log for this user alone, or standard error's copy. Raises `OSError`."""
    if log is None:
        return os.fdopen(os.dup(2), "w", encoding="utf-8")
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return os.fdopen(os.open(log, flags, 0o600), "a", encoding="utf-8", errors="replace")


class CommandThread:
    """Runs a command for one outcome after the other in a thread of its own. Of several that wait,
    only the latest is run, because the others are out of date.

    run: runs the command for an outcome, and returns why it failed, or `None`.
    """

    def __init__(self, run: Callable[[SearchOutcome], str | None]) -> None:
        self._run, self._failures = run, list[str]()
        self._waiting: SearchOutcome | None = None
        self._busy = self._begun = False
        self._changed = threading.Condition()
        self.skipped = 0

    def submit(self, outcome: SearchOutcome) -> None:
        """Has the command run for this outcome, and returns at once."""
        with self._changed:
            self.skipped += self._waiting is not None
            self._waiting = outcome
            if not self._begun:
                self._begun = True
                threading.Thread(target=self._loop, name="hooks", daemon=True).start()
            self._changed.notify_all()

    def failures(self) -> list[str]:
        """Returns why the command has failed since the last call, once each."""
        with self._changed:
            found, self._failures = self._failures, []
            return found

    def wait(self, limit_s: float) -> bool:
        """Waits until nothing is left to run, for at most so many seconds; returns whether nothing
        is.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy and not self._waiting, limit_s)

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None)
                outcome, self._waiting, self._busy = self._waiting, None, True
            assert outcome is not None
            try:
                why = self._run(outcome)
            except Exception as error:  # the thread has to go on
                why = f"{type(error).__name__}: {error}"
            with self._changed:
                self._busy = False
                self._failures += [why] if why else []
                self._changed.notify_all()
