"""Errors about changes to a running search, and about the commands that a search runs."""

import os
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from results.store import RunStore
from search.session.session import Session
from search.session.steering.mailbox import FOLDER, Mailbox, ask_search
from search.session.steering.steered_session import open_mailbox
from search.simulation.recorded_curves import Curves
from search.simulation.steered_search import make_point
from search.space import Space
from search.study.observer import Observer
from search.study.proposer import Proposer
from search.study.steering.configurations import make_by_hand
from tests.remedies.harness import Attempt, Command, Refusal, Steps, case
from tests.remedies.searches import plan_search, write_space
from tests.search.curves_for_simulation import made
from tests.search.session_on_curves import opened, planned, play
from trainables.config import TrialConfig

COMMANDS = "search/study/steering/commands.py"
STEERING = "search/study/steering/steering.py"
VALUES = "search/study/steering/configurations.py"
MAILBOX = "search/session/steering/mailbox.py"


def running(
    tmp_path: Path, data: Path, epochs: float = 12, *, trials: int = 6, **options: object
) -> Session:
    """A session after some epochs of a search; trial 0 has ended and trial 1 trains."""
    session = opened(planned(tmp_path, data, options, name="run", trials=trials))
    play(session.study, epochs)
    return session


def steer(session: Session, words: str) -> Attempt:
    return lambda: session.steering.carry_out(words.split())


@case(f"{COMMANDS}::read_command", "A command must be one of")
def a_misspelt_command(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    refusal = yield steer(session, "stpo 1")
    return steer(session, refusal.find(r"did you mean (\w+)\?") + " 1")


@case(f"{COMMANDS}::read_command", "must be given as")
def a_command_without_its_number(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    refusal = yield steer(session, "stop")
    return steer(session, refusal.find(r"given as `([^`]*)`").replace("TRIAL", "1"))


@case(f"{COMMANDS}::_read_try", "must name a parameter once")
def a_parameter_that_is_named_twice(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    yield steer(session, "try lr=0.002 lr=0.003")
    return steer(session, "try lr=0.003")


@case(f"{STEERING}::carry_out", "must not be ending already")
def a_search_that_ends(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    steer(session, "end")()
    yield steer(session, "budget 9 trials")
    session.close()
    return steer(running(tmp_path, tiny_data), "budget 9 trials")


@case(f"{STEERING}::_stop", "needs a trial that has begun")
def a_trial_that_has_not_begun(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    refusal = yield steer(session, "stop 9")
    return steer(session, "stop " + refusal.find(r"running are (\d+)"))


@case(f"{STEERING}::_stop", "needs a trial that is running")
def a_trial_that_has_ended(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    refusal = yield steer(session, "stop 0")
    return steer(session, "stop " + refusal.find(r"running are (\d+)"))


@case(f"{STEERING}::_try", "needs a search that still proposes")
def a_search_that_has_tried_everything(tmp_path: Path, tiny_data: Path) -> Steps:
    space = write_space(tmp_path / "mine.py", head_width='categorical("head_width", [0, 64])')
    options = {"space": str(space)}
    session = running(tmp_path, tiny_data, 99, trials=9, **options)
    yield steer(session, "try head_width=64")
    session.close()
    return plan_search(tmp_path, "--set", "head_width=64", "--name", "other", space=space)


@case(f"{STEERING}::_try", "needs a trial that hasn't begun")
def no_trial_is_left(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data, trials=2)
    refusal = yield steer(session, "try lr=0.004")
    steer(session, refusal.find(r"by `([^`]*)`"))()


@case(f"{STEERING}::_try", "needs a configuration that no trial has")
def a_configuration_that_was_asked_for_before(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    steer(session, "try lr=0.004")()
    yield steer(session, "try lr=0.004")
    return steer(session, "try lr=0.005")


@case(f"{STEERING}::_change_budget", "must be above the")
def a_time_budget_that_is_used_already(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    session = running(tmp_path, tiny_data)
    monkeypatch.setattr(session.steering, "_used_s", lambda: 3600.0)
    yield steer(session, "budget 1h")
    steer(session, "budget 61m")()
    return steer(session, "end")


@case(f"{STEERING}::_change_trials", "must lie in")
def fewer_trials_than_have_begun(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    refusal = yield steer(session, "budget 1 trials")
    return steer(session, "budget " + refusal.find(r"lie in (\d+)") + " trials")


@case(f"{STEERING}::_change_gpu_hours", "need trials that take GPUs")
def gpu_hours_of_cores(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    refusal = yield steer(session, "budget +2 gpu-hours")
    return steer(session, refusal.find(r"by `([^`]*)`"))


@case(f"{STEERING}::_change_gpu_hours", "must be above the")
def gpu_hours_that_are_used_already(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    session = running(tmp_path, tiny_data)
    monkeypatch.setattr(session.steering, "_on_gpus", True)
    monkeypatch.setattr(session.steering._budget, "gpu_used_s", lambda: 7200.0)
    yield steer(session, "budget 1.5 gpu-hours")
    steer(session, "budget 2.5 gpu-hours")()
    return steer(session, "end")


@case(f"{STEERING}::_limit", "must lie in 1…")
def more_trials_at_once_than_fit(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    refusal = yield steer(session, "concurrency 99")
    return steer(session, "concurrency " + refusal.find(r"lie in 1…(\d+)"))


@case(f"{STEERING}::_sum", "to add to, but this search has none")
def more_time_for_a_search_without_a_limit(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    refusal = yield steer(session, "budget +2h")
    return steer(session, refusal.find(r"by `([^`]*)`"))


@case(f"{VALUES}::make_by_hand", "must lie in its range", f"{VALUES}::make_by_hand", "(faults)")
def a_value_outside_of_its_range(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    refusal = yield steer(session, "try lr=5")
    low, high = refusal.find(r"range of ([\d.]+)"), refusal.find(r"… ([\d.]+),")
    return steer(session, f"try lr={(float(low) + float(high)) / 2}")


@case(f"{VALUES}::_why_not_searched", "is not a parameter")
def a_misspelt_parameter(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    refusal = yield steer(session, "try drpout=0.2")
    return steer(session, "try " + refusal.find(r"did you mean (\w+)\?") + "=0.2")


@case(f"{VALUES}::_why_not_searched", "because --set fixes it")
def a_parameter_that_is_fixed(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    yield steer(session, "try lr=0.004 batch_size=32")
    return steer(session, "try lr=0.004")


def conditional(low: float = 0.0) -> Proposer:
    """A space whose momentum, from `low` up, goes with one of two optimizers."""

    def suggest(trial):  # type: ignore[no-untyped-def]
        values = {"optimizer": trial.suggest_categorical("optimizer", ["adamw", "sgd"])}
        if values["optimizer"] == "sgd":
            values["momentum"] = trial.suggest_float("momentum", low, 0.99)
        return values

    baseline = TrialConfig(network="resnet10", optimizer="adamw", epochs=3)
    return Proposer(Space(summary="", dataset="demo", baseline=baseline, suggest=suggest), {}, 0)


def values(proposer: Proposer, **named: str) -> Attempt:
    return lambda: make_by_hand(proposer, named, proposer.baseline_params())


@case(f"{VALUES}::_why_not_searched", "has no place beside the other values")
def a_parameter_without_what_it_goes_with() -> Steps:
    refusal = yield values(conditional(), momentum="0.9")
    owner = dict([refusal.find(r"or name (\w+=\w+) too").split("=")])
    values(conditional(), momentum="0.9", **owner)()
    return values(conditional(), optimizer="sgd")


@case(f"{VALUES}::make_by_hand", "must be named too")
def a_parameter_that_nothing_fills() -> Steps:
    refusal = yield values(conditional(0.5), optimizer="sgd")
    return values(conditional(0.5), optimizer="sgd", **{refusal.find(r"(\w+) must be"): "0.9"})


@case(f"{VALUES}::make_by_hand", "must make a configuration that can be trained")
def values_that_contradict_each_other() -> Steps:
    def suggest(trial):  # type: ignore[no-untyped-def]
        return {
            "schedule": trial.suggest_categorical("schedule", ["cosine", "one-cycle"]),
            "warmup_epochs": trial.suggest_int("warmup_epochs", 0, 2),
        }

    baseline = TrialConfig(network="resnet10", schedule="cosine", warmup_epochs=1, epochs=3)
    space = Space(summary="", dataset="demo", baseline=baseline, suggest=suggest)
    proposer = Proposer(space, {}, 0)
    refusal = yield values(proposer, schedule="one-cycle")
    assert "warmup_epochs must be 0 with schedule=one-cycle" in refusal.text
    return values(proposer, schedule="one-cycle", warmup_epochs="0")


POINTS = "search/simulation/steered_search.py::make_point"


def point(curves: Curves, **named: str) -> Attempt:
    return lambda: make_point(curves, named, {"x": 0.5})


@case(POINTS, "is not a parameter of these curves", POINTS, "SteeringError(faults)")
def a_parameter_that_curves_lack() -> Steps:
    refusal = yield point(made([[0.1], [0.2]]), y="0.1")
    return point(made([[0.1], [0.2]]), **{refusal.find(r"they have (\w+)"): "0.1"})


@case(POINTS, "must lie in its range")
def a_value_outside_of_the_curves() -> Steps:
    refusal = yield point(made([[0.1], [0.2]]), x="2")
    return point(made([[0.1], [0.2]]), x=refusal.find(r"range of \d … (\d)"))


@contextmanager
def answered(mailbox: Mailbox, sentence: str, *, refused: bool = False) -> Iterator[None]:
    """Answers what comes during the block, from another thread."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(0.02):
            for name, _ in mailbox.take():
                mailbox.answer(name, [sentence], refused=refused)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def asked(store: RunStore, mailbox: Mailbox, sentence: str = "Done.", **how: bool) -> Attempt:
    def attempt() -> None:
        with answered(mailbox, sentence, **how):
            ask_search(store.directory, ["end"], 10.0)

    return attempt


def write_run(tmp_path: Path) -> RunStore:
    """A run that a search writes."""
    sessions = [{"started": "2026-01-01T00:00:00+00:00", "ended": None}]
    return RunStore.create(tmp_path / "run", {"name": "run", "options": {}, "sessions": sessions})


@case(f"{MAILBOX}::ask_search", "belongs to another user", beyond="the owner is another user")
def a_run_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    store = write_run(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    yield lambda: ask_search(store.directory, ["end"], 0.1)
    store.close()
    return None


@case(f"{MAILBOX}::_give_up", "nothing has changed")
def a_search_that_is_busy(tmp_path: Path) -> Steps:
    store = write_run(tmp_path)
    mailbox = Mailbox(store.directory)
    yield Command("search.steer", store.directory, "end", "--wait", "0.3")
    return asked(store, mailbox)


@case(f"{MAILBOX}::_give_up", "but hasn't. ")
def a_search_that_has_taken_the_command(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    mailbox = Mailbox(session.store.directory)

    def busy() -> None:
        carried_out = threading.Timer(
            0.3, lambda: [session.steering.carry_out(words) for _, words in mailbox.take()]
        )
        carried_out.start()
        ask_search(session.store.directory, ["stop", "1"], 0.7)

    refusal = yield busy
    records = Path(refusal.find(r"line with it in (\S+) before")).read_text(encoding="utf-8")
    assert '"words":"stop 1"' in records
    return asked(session.store, mailbox)


@case(f"{MAILBOX}::module", "this one was starting when the command came")
def a_command_that_comes_too_early(tmp_path: Path) -> Steps:
    """The folder is still that of a search that was killed."""
    store = write_run(tmp_path)
    Mailbox(store.directory)
    opened_later: list[Mailbox] = []

    def early() -> None:
        starting = threading.Timer(0.3, lambda: opened_later.append(Mailbox(store.directory)))
        starting.start()
        ask_search(store.directory, ["end"], 10.0)

    yield early
    return asked(store, opened_later[0])


@case(f"{MAILBOX}::_take_answer", "MailboxError(sentences)")
def a_command_that_the_search_refuses(tmp_path: Path) -> Steps:
    store = write_run(tmp_path)
    mailbox = Mailbox(store.directory)
    yield asked(store, mailbox, "stop needs another one; name it.", refused=True)
    return asked(store, mailbox)


@case(f"{MAILBOX}::_check_running", "must be running to be steered")
def a_search_that_does_not_run(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    session.close()
    refusal = yield Command("search.steer", session.store.directory, "end")
    return check_resume(refusal)


def check_resume(refusal: Refusal) -> Command:
    """Returns the printed command, as a dry run."""
    words = shlex.split(refusal.find(r"`python -m search.run ([^`]*)`"))
    return Command("search.run", *words, "--dry-run")


@case("search/session/steering/steered_session.py::open_mailbox", "must go on to be steered")
def a_command_that_comes_too_late(tmp_path: Path, tiny_data: Path) -> Steps:
    session = running(tmp_path, tiny_data)
    directory = session.store.directory

    def late() -> None:
        observer, warn = Observer(), pytest.fail
        with open_mailbox(directory, session.steering, observer, warn):
            request = directory / FOLDER / "1.request"
            request.write_text('{"words": ["end"]}', encoding="utf-8")
            request.chmod(0o600)
        answer = (directory / FOLDER / "1.answer").read_text(encoding="utf-8")
        raise RuntimeError(answer.encode().decode("unicode_escape"))

    refusal = yield late
    session.close()
    return check_resume(refusal)


@case("search/session/steering/command.py::main", "--wait must be above 0")
def no_time_to_wait(tmp_path: Path) -> Steps:
    store = write_run(tmp_path)
    mailbox = Mailbox(store.directory)
    yield Command("search.steer", store.directory, "end", "--wait", "0")
    return asked(store, mailbox)


@case("search/session/hooks/checks.py::check_hooks", "that a shell can read")
def a_hook_with_an_open_quote(tmp_path: Path) -> Steps:
    command = plan_search(tmp_path, "--on-end", "echo 'over")
    yield command
    return command.replace("echo 'over", "echo over")
