"""How a user's commands are run: for a limited time, and so that they harm nothing."""

import os
import shlex
import stat
import time
from pathlib import Path

import pytest

from search.session.hooks import commands
from search.session.hooks.commands import LOG, CommandThread, run_command
from search.session.hooks.outcome import SearchOutcome
from tests.search.session.hooks.example_outcome import made, run


def has_ended(pid_file: Path) -> bool:
    """Waits a moment, for a killed process takes one to end."""
    status = Path(f"/proc/{int(pid_file.read_text(encoding='utf-8'))}/stat")
    until = time.monotonic() + 3
    while status.exists() and status.read_text(encoding="utf-8").split()[2] != "Z":
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def test_what_it_prints_goes_into_a_private_log(tmp_path: Path) -> None:
    assert run("echo out; echo err >&2", tmp_path / LOG) is None
    text = (tmp_path / LOG).read_text(encoding="utf-8")
    assert "out\nerr\n# done, after " in text
    assert stat.S_IMODE((tmp_path / LOG).stat().st_mode) == 0o600


def test_a_failure_is_a_sentence(tmp_path: Path) -> None:
    assert run("exit 3", tmp_path / LOG) == "it ended with exit code 3"
    assert run("no-such-program", tmp_path / LOG) == "it ended with exit code 127"
    with_much = {"X": "x" * 200_000}
    why = run_command("true", made(), tmp_path / LOG, with_much)
    assert why == "it couldn't be run ([Errno 7] Argument list too long: '/bin/sh')"


def test_a_command_that_never_ends_is_ended_with_what_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    why = run(f"sleep 60 & echo $! > {tmp_path}/pid; wait", tmp_path / LOG, limit_s=0.5)
    assert why == "it didn't end within 0.5 s"
    assert time.monotonic() - began < 5
    assert has_ended(tmp_path / "pid")


def test_what_ignores_the_signal_ends_too(tmp_path: Path) -> None:
    """The shell ends at once, while its child doesn't hear SIGTERM."""
    stubborn = f"(trap '' TERM; exec sleep 60) & echo $! > {tmp_path}/pid; wait"
    assert run(stubborn, tmp_path / LOG, limit_s=0.5) == "it didn't end within 0.5 s"
    assert has_ended(tmp_path / "pid")


def test_what_ends_in_order_has_the_time_for_it(tmp_path: Path) -> None:
    orderly = f"trap 'sleep 0.5; touch {tmp_path}/tidied; exit' TERM; sleep 60 & wait"
    command = f"/bin/sh -c {shlex.quote(orderly)} & wait"
    assert run(command, tmp_path / LOG, limit_s=0.5) == "it didn't end within 0.5 s"
    assert (tmp_path / "tidied").exists()


def test_a_command_that_reads_nothing_gets_a_large_outcome(tmp_path: Path) -> None:
    assert run("exec <&-; sleep 0.2", tmp_path / LOG, dataset="x" * 300_000) is None
    assert run("cat > /dev/null", tmp_path / LOG, space="y" * 300_000) is None


def test_a_name_is_no_code(tmp_path: Path) -> None:
    name = f"$(touch {tmp_path}/executed); `touch {tmp_path}/executed`"
    assert run('echo "$SEARCH_NAME"', tmp_path / LOG, name=name) is None
    assert not (tmp_path / "executed").exists()
    assert name in (tmp_path / LOG).read_text(encoding="utf-8")


def test_of_those_that_wait_only_the_latest_is_run() -> None:
    seen: list[int] = []

    def slow(outcome: SearchOutcome, _: float) -> str | None:
        time.sleep(0.2)
        seen.append(outcome.trials)
        return "it failed" if outcome.trials == 1 else None

    thread = CommandThread(slow, 5.0)
    began = time.monotonic()
    thread.submit(made(trials=1))
    time.sleep(0.05)
    for trials in (2, 3, 4):
        thread.submit(made(trials=trials))
    assert time.monotonic() - began < 0.15  # nobody waits for a command
    assert thread.finish()
    assert seen == [1, 4]
    assert thread.skipped == 2
    assert thread.failures() == ["it failed"]
    assert thread.failures() == []


def test_the_end_gives_what_is_left_one_limit_in_all() -> None:
    given: list[float] = []

    def slow(_: SearchOutcome, limit_s: float) -> str | None:
        given.append(limit_s)
        time.sleep(min(0.3, limit_s))
        return None

    thread = CommandThread(slow, 0.5)
    for trials in (1, 2):
        thread.submit(made(trials=trials))
        time.sleep(0.05)
    began = time.monotonic()
    assert thread.finish()
    assert time.monotonic() - began < 1.5
    first, second = given
    assert first == 0.5
    assert 0 < second < 0.45  # what the first one left of it


def test_without_any_time_left_a_command_is_not_run() -> None:
    thread = CommandThread(lambda _, limit_s: time.sleep(0.3), 0.1)
    for trials in (1, 2):
        thread.submit(made(trials=trials))
        time.sleep(0.05)
    assert thread.finish()
    (why,) = thread.failures()
    assert why == "the search was over before it could be run for the latest best trial"


@pytest.mark.timeout(30)
@pytest.mark.parametrize("place", ["pipe", "full disk"])
def test_a_log_that_cannot_be_written_stops_no_command(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if place == "pipe":
        os.mkfifo(tmp_path / LOG)
        why = "a named pipe and no file"
    else:
        full = os.open("/dev/full", os.O_WRONLY)
        monkeypatch.setattr(commands, "open_private_log", lambda _: full)
        why = "No space left on device"
    assert run(f"echo said; touch {tmp_path}/done", tmp_path / LOG) is None
    assert (tmp_path / "done").exists()
    said = capfd.readouterr().err
    assert f" on-best, whose output isn't in {tmp_path / LOG} ({why})\nsaid\n# done" in said
