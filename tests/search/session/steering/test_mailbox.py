"""What a user asks of a running search reaches it through a folder of that user alone."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from results.store import RunStore
from search.session.steering.mailbox import FOLDER, Mailbox, MailboxError, ask_search
from search.steer import main


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    """A run that a search writes."""
    session = {"started": "2026-01-01T00:00:00+00:00", "ended": None}
    made = RunStore.create(tmp_path / "run", {"name": "run", "sessions": [session]})
    yield made
    made.close()


def answering(
    mailbox: Mailbox, answer: Callable[[str, list[str]], None]
) -> Iterator[list[list[str]]]:
    """A thread that takes commands, as the search's loop does, and answers each."""
    seen: list[list[str]] = []
    over = threading.Event()

    def loop() -> None:
        while not over.is_set():
            for name, words in mailbox.take():
                seen.append(words)
                answer(name, words)
            time.sleep(0.01)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    yield seen
    over.set()
    thread.join()


def test_a_command_is_carried_out_and_answered(store: RunStore) -> None:
    mailbox = Mailbox(store.directory)
    for seen in answering(mailbox, lambda name, words: mailbox.answer(name, [f"did {words[1]}"])):
        assert ask_search(store.directory, ["stop", "7"], 10.0) == ["did 7"]
        assert seen == [["stop", "7"]]
    assert list((store.directory / FOLDER).iterdir()) == []
    mailbox.close("over")
    assert not (store.directory / FOLDER).exists()


def test_folder_and_files_are_private(store: RunStore) -> None:
    modes = []

    def look(name: str, _: list[str]) -> None:
        mailbox.answer(name, ["done"])
        modes.extend(oct(path.stat().st_mode & 0o777) for path in folder.iterdir())

    folder, mailbox = store.directory / FOLDER, Mailbox(store.directory)
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    for _ in answering(mailbox, look):
        ask_search(store.directory, ["end"], 10.0)
    assert modes == ["0o600"]


def test_a_refusal_is_an_error_with_its_sentences(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    mailbox = Mailbox(store.directory)
    for _ in answering(mailbox, lambda name, _: mailbox.answer(name, ["a.", "b."], refused=True)):
        assert main([str(store.directory), "stop", "7", "--wait", "10"]) == 2
    assert capsys.readouterr().err == "error: a.\nerror: b.\n"


@pytest.mark.parametrize("mode", [0o640, 0o602])
def test_a_command_that_others_may_read_or_write_isn_t_taken(store: RunStore, mode: int) -> None:
    mailbox = Mailbox(store.directory)
    path = store.directory / FOLDER / "1.request"
    path.write_text('{"words": ["end"]}', encoding="utf-8")
    path.chmod(mode)
    assert list(mailbox.take()) == []
    assert not path.exists()


def test_a_link_isn_t_followed(store: RunStore, tmp_path: Path) -> None:
    mailbox = Mailbox(store.directory)
    (tmp_path / "mine").write_text('{"words": ["end"]}', encoding="utf-8")
    (tmp_path / "mine").chmod(0o600)
    (store.directory / FOLDER / "1.request").symlink_to(tmp_path / "mine")
    assert list(mailbox.take()) == []
    assert (tmp_path / "mine").exists()


def test_a_folder_that_others_may_enter_counts_as_none(store: RunStore) -> None:
    (store.directory / FOLDER).mkdir(mode=0o755)
    (store.directory / FOLDER).chmod(0o755)
    with pytest.raises(PermissionError, match="open to you alone"):
        Mailbox(store.directory)
    with pytest.raises(MailboxError, match=r"must answer within 0\.6 s, but"):
        ask_search(store.directory, ["end"], 0.6)
    assert list((store.directory / FOLDER).iterdir()) == []


def test_another_user_is_refused(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(MailboxError, match="belongs to another user; ask its owner"):
        ask_search(store.directory, ["end"], 1.0)


def test_a_search_that_does_not_answer_gets_no_late_command(store: RunStore) -> None:
    mailbox = Mailbox(store.directory)
    began = time.monotonic()
    with pytest.raises(MailboxError, match="nothing has changed; try again"):
        ask_search(store.directory, ["end"], 0.5)
    assert time.monotonic() - began < 3
    assert list(mailbox.take()) == []


def test_a_run_that_isn_t_running_names_the_command_that_goes_on(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.close()
    assert main([str(store.directory), "end"]) == 2
    error = capsys.readouterr().err
    assert "must be running to be steered, but its last session was broken off; go on" in error
    assert f"`python -m search.run --resume run --out {store.directory.parent}`" in error


def test_what_comes_too_late_is_refused(store: RunStore) -> None:
    mailbox, sentence = Mailbox(store.directory), "It has just ended."
    closing = threading.Timer(0.4, lambda: mailbox.close(sentence))
    closing.start()
    with pytest.raises(MailboxError, match=sentence):
        ask_search(store.directory, ["end"], 10.0)
    closing.join()


def test_what_a_killed_search_left_is_refused(store: RunStore) -> None:
    Mailbox(store.directory)
    (store.directory / FOLDER / "1.request").write_text('{"words": ["end"]}', encoding="utf-8")
    (store.directory / FOLDER / "1.request").chmod(0o600)
    assert list(Mailbox(store.directory).take()) == []
    answer = (store.directory / FOLDER / "1.answer").read_text(encoding="utf-8")
    assert "this one was starting when the command came; send it again." in answer


def test_a_command_that_was_taken_is_not_called_undone(store: RunStore) -> None:
    """The search takes the command and is too busy to answer."""
    for seen in answering(Mailbox(store.directory), lambda name, words: None):
        with pytest.raises(MailboxError) as refused:
            ask_search(store.directory, ["end"], 0.5)
        assert seen == [["end"]]
    assert "nothing has changed" not in str(refused.value)
    assert str(refused.value) == (
        f"The search in {store.directory} must answer within 0.5 s, but hasn't. The search has "
        "taken the command, and may carry it out: look for a line with it in "
        f"{store.directory / 'steering.jsonl'} before you send it again."
    )


def test_a_search_that_dies_with_a_command_is_not_called_unchanged(store: RunStore) -> None:
    mailbox = Mailbox(store.directory)

    def die(name: str, _: list[str]) -> None:
        (store.directory / FOLDER).rmdir()
        store.close()

    for _ in answering(mailbox, die):
        with pytest.raises(MailboxError, match="has taken the command"):
            ask_search(store.directory, ["end"], 2.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_takes_the_command_back(store: RunStore, number: int) -> None:
    mailbox = Mailbox(store.directory)
    words = [sys.executable, "-m", "search.steer", str(store.directory), "end"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, encoding="utf-8") as asking:
        until = time.monotonic() + 30
        while not list((store.directory / FOLDER).glob("*.request")):
            assert time.monotonic() < until
            time.sleep(0.02)
        asking.send_signal(number)
        _, said = asking.communicate(timeout=30)
    assert (asking.returncode, said) == (128 + number, "\nNothing has changed.\n")
    assert list(mailbox.take()) == []
    mailbox.close("over")
    assert not (store.directory / FOLDER).exists()


def test_a_signal_tells_of_a_command_that_was_taken(store: RunStore) -> None:
    mailbox = Mailbox(store.directory)

    def interrupt(_: float) -> None:
        assert [words for _, words in mailbox.take()] == [["end"]]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as interrupted:
        ask_search(store.directory, ["end"], 10.0, sleep=interrupt)
    (note,) = interrupted.value.__notes__
    assert note.startswith("The search has taken the command, and may carry it out: look for")
