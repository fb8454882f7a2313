"""What a session does after Ray has died, with the system's calls handed in."""

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search.session.hooks.commands import CommandThread
from search.session.hooks.hooks import Hooks
from search.session.recovery import AGAIN, Recovery, words_to_go_on


class Session:
    """Counts how often it is closed."""

    def __init__(self) -> None:
        self.closed = 0
        self.storage_sync = SimpleNamespace(close=lambda: None)

    def close(self) -> None:
        self.closed += 1
        if self.closed > 1:
            raise ValueError("write to closed file")


class LeftError(Exception):
    """Stands for the process's end."""


def recovery(words: list[str], refuse: OSError | None = None) -> tuple[Recovery, dict[str, Any]]:
    """A recovery of a session that hasn't begun, and what it does."""
    seen: dict[str, Any] = {"warned": []}

    def replace(program: str, command: list[str], environment: dict[str, str]) -> None:
        if refuse:
            raise refuse
        seen.update(program=program, command=command, environment=environment)
        raise LeftError

    def leave(code: int) -> None:
        seen["code"] = code
        raise LeftError

    monitor: Any = SimpleNamespace(warn=seen["warned"].append, interrupted=seen["warned"].append)
    plan: Any = SimpleNamespace(directory=Path("runs/none"))
    return Recovery(plan, monitor, words, replace=replace, leave=leave), seen


def test_the_first_time_a_new_process_goes_on(monkeypatch):
    monkeypatch.delenv(AGAIN, raising=False)
    found, seen = recovery(["--resume", "run", "--trials", "5"])
    before = dict(os.environ)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/of-the-ray-that-died")
    with pytest.raises(LeftError):
        found.conclude("its raylet has ended")
    assert seen["program"] == sys.executable
    words = ["-m", "search.run", "--resume", "run", "--trials", "5"]
    assert seen["command"] == [sys.executable, *words]
    assert seen["environment"] == before | {AGAIN: "1"}
    assert seen["warned"] == [
        "Ray has died (its raylet has ended): a new process goes on from the records."
    ]
    assert "code" not in seen
    inherited = [fd for fd in range(3, 50) if Path(f"/proc/self/fd/{fd}").exists()]
    assert not any(os.get_inheritable(fd) for fd in inherited)


def test_the_second_time_it_ends(monkeypatch):
    monkeypatch.setenv(AGAIN, "1")
    found, seen = recovery(["--resume", "run", "--trials", "5"])
    assert AGAIN not in os.environ, "Ray's processes would inherit it"
    with pytest.raises(LeftError):
        found.conclude("its GCS has ended")
    assert "command" not in seen
    assert seen["warned"] == [
        "error: the search stopped: Ray has died (its GCS has ended).",
        "No trial had begun: run the same command again.",
    ]
    assert seen["code"] == 130


@pytest.mark.parametrize("refuse", [None, OSError(12, "Cannot allocate memory")])
def test_it_ends_where_no_new_process_can_go_on(refuse, monkeypatch):
    monkeypatch.delenv(AGAIN, raising=False)
    found, seen = recovery(["--resume", "run"] if refuse else [], refuse)
    with pytest.raises(LeftError):
        found.conclude("its GCS has ended")
    assert seen["code"] == 130
    told = "A new process can't be started ([Errno 12] Cannot allocate memory)."
    assert (told in seen["warned"]) == bool(refuse)
    assert seen["warned"][-2] == "error: the search stopped: Ray has died (its GCS has ended)."


def test_a_session_that_is_closed_already_is_no_hindrance(monkeypatch):
    monkeypatch.delenv(AGAIN, raising=False)
    found, seen = recovery(["--resume", "run"])
    found.session = session = Session()  # type: ignore[assignment]
    session.closed = 1
    with pytest.raises(LeftError):
        found.conclude("its GCS has ended")
    assert session.closed == 2
    assert "command" in seen


def test_the_words_name_the_run_once_and_the_trials_as_a_number():
    plan: Any = SimpleNamespace(directory=Path("runs/first"), options=SimpleNamespace(trials=29))
    given = ["--space", "demo", "--storage", "s3://key:secret@host/place", "--set", "lr=1e-3"]
    assert words_to_go_on(given, plan, resumed=False) == [
        *given, "--resume-or-start", "runs/first", "--trials", "29",
    ]  # fmt: skip
    again = ["--resume", "first", "--trials", "+5"]
    assert words_to_go_on(again, plan, resumed=True) == [*again, "--trials", "29"]


def test_no_new_process_goes_on_after_ctrl_c(monkeypatch):
    monkeypatch.delenv(AGAIN, raising=False)
    found, seen = recovery(["--resume", "run"])
    found.interrupted("Ctrl-C: ending with a summary.")
    with pytest.raises(LeftError):
        found.conclude("its raylet has ended")
    assert seen["warned"][0] == "Ctrl-C: ending with a summary."
    assert (seen["code"], "command" in seen) == (130, False)


@pytest.mark.parametrize("second", [False, True])
def test_no_command_of_the_user_outlives_the_process(second, tmp_path, monkeypatch):
    monkeypatch.setenv(AGAIN, "1") if second else monkeypatch.delenv(AGAIN, raising=False)
    found, seen = recovery(["--resume", "run"])
    over = tmp_path / "over"
    hooks = Hooks(SimpleNamespace(directory=tmp_path), on_best="x", limit_s=5.0)  # type: ignore[arg-type]
    hooks._best = CommandThread(lambda outcome, limit_s: (time.sleep(0.3), over.touch())[1], 5.0)
    hooks._best.submit(SimpleNamespace())  # type: ignore[arg-type]
    found._hooks = hooks
    with pytest.raises(LeftError):
        found.conclude("its raylet has ended")
    assert ("command" in seen) != second
    assert over.exists()
