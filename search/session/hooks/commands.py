"""Runs a user's commands beside a search, which doesn't wait for them and isn't harmed by them."""

import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from common.regular_files import open_private_log
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

    log: the file that gets what the command prints. Without one the terminal does, and also where
        it can't be written, for example on a full disk.
    """
    began = time.monotonic()
    try:
        output = _open_log(log, outcome.event)
        try:
            why = _run(command, outcome, output, environment, limit_s)
            took = format_duration(time.monotonic() - began)
            with suppress(OSError):
                _write_line(output, f"# {why or 'done'}, after {took}")
        finally:
            os.close(output)
    except OSError as error:  # no room for a process
        return f"it couldn't be run ({error})"
    return why


def _run(
    command: str,
    outcome: SearchOutcome,
    output: int,
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
    """Ends the process group of a command that hasn't ended by itself. All of it has `_GRACE_S`
    seconds to end in order.
    """
    if process.poll() is None:
        # Its shell is reaped last: until then no other group can get the number of this one.
        try:
            _signal_group(process.pid, signal.SIGTERM)
            time.sleep(_GRACE_S)
        finally:
            _signal_group(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):  # a disk or a network holds it
                process.wait(_GRACE_S)
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _open_log(log: Path | None, event: str) -> int:
    """Opens the log, or a copy of standard error, and writes which command follows. Raises
    `OSError`.
    """
    words, why = f"# {datetime.now(UTC).isoformat(timespec='seconds')} on-{event}", ""
    if log is not None:
        try:
            output = open_private_log(log)
            try:
                _write_line(output, words)
            except OSError:
                os.close(output)
                raise
            return output
        except OSError as error:
            why = f", whose output isn't in {log} ({error.strerror})"
    output = os.dup(2)
    with suppress(OSError):
        _write_line(output, words + why)
    return output


def _write_line(descriptor: int, text: str) -> None:
    os.write(descriptor, f"{text}\n".encode(errors="replace"))


class CommandThread:
    """Runs a command for one outcome after the other in a thread of its own. Of several that wait,
    only the latest is run, because the others are out of date.

    run: runs the command for an outcome and at most so many seconds, and returns why it failed, or
        `None`.
    limit_s: how many seconds the command has each time, and after `finish` in all.
    """

    def __init__(self, run: Callable[[SearchOutcome, float], str | None], limit_s: float) -> None:
        self._run, self._limit_s, self._failures = run, limit_s, list[str]()
        self._waiting: SearchOutcome | None = None
        self._busy = self._begun = False
        self._until = math.inf
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

    def finish(self) -> bool:
        """Waits until nothing is left to run, for which there are `limit_s` seconds from now on;
        returns whether nothing is. Only a command that can't be ended is left behind.
        """
        with self._changed:
            self._until = time.monotonic() + self._limit_s
            limit_s = self._limit_s + 3 * _GRACE_S
            return self._changed.wait_for(lambda: not self._busy and not self._waiting, limit_s)

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None)
                outcome, self._waiting, self._busy = self._waiting, None, True
                limit_s = min(self._limit_s, self._until - time.monotonic())
            assert outcome is not None
            why: str | None = "the search was over before it could be run for the latest best trial"
            if limit_s > 0:
                try:
                    why = self._run(outcome, limit_s)
                except Exception as error:  # the thread has to go on
                    why = f"{type(error).__name__}: {error}"
            with self._changed:
                self._busy = False
                self._failures += [why] if why else []
                self._changed.notify_all()
