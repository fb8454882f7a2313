"""Passes a user's commands to a running search, and its answers back, through the run's folder.

The search opens a folder that nobody but its user can read or enter. Whoever can write into it is
that user: a command is a file there, and so is its answer. Folders and files of other users, or
open to them, count as if they weren't there.
"""

import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.signals import hold, raise_received
from common.text import format_duration
from results.run_hints import resume_command
from results.store import STEERING, RunError, lock_run, read_manifest

FOLDER = ".steering"
"""A running search has this folder in its run's folder."""

POLL_S = 0.25
"""Both sides look for files of the other one this often, in seconds."""

_REQUEST, _ANSWER, _TEMPORARY = ".request", ".answer", ".tmp"
_LARGEST = 1 << 16
"""A command or an answer with more bytes isn't read."""


_TOO_EARLY = (
    "A search must have started to be steered, but this one was starting when the command came; "
    "send it again."
)
_TAKEN = (
    "The search has taken the command, and may carry it out: look for a line with it in {} before "
    "you send it again."
)


class MailboxError(UserError):
    """Reports a command that reaches no search. The message names the run and the remedy."""


class Mailbox:
    """Holds the open folder of a search, from which it takes commands until `close`.

    clock: returns seconds since any fixed moment.
    Creating an instance raises `OSError` where the folder can't be made for this user alone.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock, self._polled_at = directory / FOLDER, clock, -POLL_S
        with suppress(FileExistsError):
            self._folder.mkdir(mode=0o700)
        if not _is_private(self._folder):
            raise PermissionError(
                0, "it must be a folder that belongs and is open to you alone", str(self._folder)
            )
        for path in self._folder.iterdir():  # of a search that was killed, or sent since
            path.unlink()
            if path.suffix == _REQUEST:
                self.answer(path.stem, [_TOO_EARLY], refused=True)

    def take(self) -> Iterator[tuple[str, list[str]]]:
        """Yields (name, words) of each new command, the earliest first; at most every `POLL_S`
        seconds there are any.
        """
        if self._clock() - self._polled_at >= POLL_S:
            self._polled_at = self._clock()
            yield from self._requests()

    def answer(self, name: str, sentences: Sequence[str], *, refused: bool = False) -> None:
        """Answers the command of this name. An answer that can't be written is left out."""
        with suppress(OSError):
            _write(self._folder / f"{name}{_ANSWER}", {"refused": refused, "text": [*sentences]})

    def close(self, sentence: str) -> None:
        """Refuses the commands that are left by this sentence, and takes no more. The folder stays
        as long as somebody hasn't read an answer.
        """
        with suppress(OSError):
            for name, _ in self._requests():
                self.answer(name, [sentence], refused=True)
            for path in self._folder.glob(f".*{_TEMPORARY}"):
                path.unlink()
            self._folder.rmdir()

    def _requests(self) -> Iterator[tuple[str, list[str]]]:
        if not _is_private(self._folder):
            return
        found = []
        for path in self._folder.glob(f"*{_REQUEST}"):
            with suppress(OSError):
                found.append((path.lstat().st_mtime_ns, path))
        for _, path in sorted(found):
            value = _read(path)
            with suppress(FileNotFoundError):  # the user has given up
                path.unlink()
                words = value.get("words") if isinstance(value, dict) else None
                if isinstance(words, list) and all(isinstance(word, str) for word in words):
                    yield path.name.removesuffix(_REQUEST), words


def ask_search(
    directory: Path,
    words: Sequence[str],
    wait_s: float,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """Sends a command to the search that writes the run in `directory`, waits for at most `wait_s`
    seconds, and returns the sentences of its answer.

    Raises `RunError` where the folder is no run, and `MailboxError` where the search refuses the
    command, isn't running, belongs to another user, or doesn't answer: then the command is taken
    back, unless the search has taken it, which the message says. So does a note of the
    `KeyboardInterrupt` that a signal raises meanwhile.
    """
    manifest = read_manifest(directory)
    if directory.stat().st_uid != os.geteuid():
        raise MailboxError(
            f"{directory} must be yours to be steered, but belongs to another user; ask its owner."
        )
    _check_running(directory, manifest)
    folder, until = directory / FOLDER, clock() + wait_s
    name, sent = secrets.token_hex(8), False
    try:
        while clock() < until:
            if not sent and _is_private(folder):
                with suppress(FileNotFoundError), hold():  # the search ends just now
                    _write(folder / f"{name}{_REQUEST}", {"words": [*words]})
                    sent = True
                raise_received()
            if sent and (answer := _take_answer(folder, name)) is not None:
                return answer
            if sent and not folder.exists() and not _is_open(directory):
                break
            sleep(POLL_S)
    except KeyboardInterrupt as error:
        back = not sent or _take_back(folder, name)
        error.add_note("Nothing has changed." if back else _TAKEN.format(directory / STEERING))
        raise
    return _give_up(directory, name, sent, wait_s, sleep)


def _take_back(folder: Path, name: str) -> bool:
    """Takes a command back; returns whether the search hadn't taken it before."""
    try:
        (folder / f"{name}{_REQUEST}").unlink()
    except FileNotFoundError:
        return False
    return True


def _give_up(
    directory: Path, name: str, sent: bool, wait_s: float, sleep: Callable[[float], object]
) -> list[str]:
    """Takes a command back; returns the answer of a search that has just taken it."""
    folder = directory / FOLDER
    if sent and not _take_back(folder, name):
        sleep(4 * POLL_S)
        if (answer := _take_answer(folder, name)) is not None:
            return answer
        raise MailboxError(
            f"The search in {directory} must answer within {format_duration(wait_s)}, but hasn't. "
            + _TAKEN.format(directory / STEERING)
        )
    _check_running(directory, read_manifest(directory))
    raise MailboxError(
        f"The search in {directory} must answer within {format_duration(wait_s)}, but hasn't, "
        "because it is starting, ending or busy, and nothing has changed; try again, with a longer "
        "--wait if need be."
    )


def _take_answer(folder: Path, name: str) -> list[str] | None:
    """Returns the sentences of an answer, or `None` where there is none yet. Raises
    `MailboxError` for a refusal.
    """
    path = folder / f"{name}{_ANSWER}"
    value = _read(path) if path.exists() else None
    if not isinstance(value, dict):
        return None
    path.unlink()
    if not any(folder.iterdir()):
        with suppress(OSError):
            if not _is_open(folder.parent):
                folder.rmdir()
    sentences = [str(each) for each in value.get("text", ())]
    if value.get("refused"):
        raise MailboxError(sentences)
    return sentences


def _check_running(directory: Path, manifest: dict[str, Any]) -> None:
    """Raises `MailboxError` where no search writes the run."""
    if _is_open(directory):
        return
    ended = next((each.get("ended") for each in reversed(manifest.get("sessions", ()))), None)
    how = f"its last session ended on {ended}" if ended else "its last session was broken off"
    raise MailboxError(
        f"{directory} must be running to be steered, but {how}; go on with it by "
        f"`{resume_command(directory)}`, and give other limits there or steer it then."
    )


def _is_open(directory: Path) -> bool:
    """Returns whether a process writes the run."""
    try:
        lock_run(directory).release()
    except RunError:
        return True
    return False


def _is_private(folder: Path) -> bool:
    """Returns whether this is a folder, not a link to one, of this user alone."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    own = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return own and stat.S_ISDIR(found.st_mode)


def _write(path: Path, value: Any) -> None:
    """Writes a file for this user alone, which appears as a whole. Raises `OSError`."""
    temporary = path.with_name(f".{path.name}{_TEMPORARY}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
            json.dump(value, file)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> Any:
    """Returns the value in a file of this user alone, or `None` where there is no such file."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_uid != os.geteuid() or found.st_mode & 0o077:
                return None
            return json.loads(file.read(_LARGEST)) if stat.S_ISREG(found.st_mode) else None
    except (OSError, ValueError, RecursionError):
        return None
