"""Who is told what: a pipe, a terminal, --quiet and --verbose; and that a terminal stays whole."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from results.analysis.rung_worth import ENOUGH
from results.records import ScreeningRecord, StopReason, TrainingId, TrialRecord, TrialState
from search.monitoring.limits import Limits
from search.monitoring.monitor import Monitor, has_screen
from search.monitoring.progress import Progress
from search.monitoring.screen import draw_screen
from search.study.proposer import Proposal
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig

ROOT = Path(__file__).parents[3]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def console(*, terminal, **environment):
    return Console(
        file=Terminal() if terminal else io.StringIO(), width=80, height=24,
        _environ={"TERM": "xterm-256color"} | environment,
    )  # fmt: skip


def told(monitor):
    """What a search of one trial that fails says."""
    with monitor.watching():
        monitor.inform("dashboard  here")
        monitor.began(
            Proposal(training=TrainingId(0), config=TrialConfig(network="resnet10", epochs=9))
        )
        monitor.epoch(TrainingId(0), metrics(1, 0.5))
        record = TrialRecord(
            number=0, state=TrialState.FAILED, params={}, config={},
            reason=StopReason.MEMORY, detail="2 GiB",
        )  # fmt: skip
        monitor.ended(record)
    return monitor.console.file.getvalue()


@pytest.mark.parametrize("quiet", [False, True])
def test_an_address_is_printed_with_its_token_and_nothing_else_is(quiet):
    monitor = Monitor(console(terminal=False), 4, quiet=quiet)
    address = f"page  http://host:8300/?token={'s3cret' * 20}"
    monitor.show_address(address)
    monitor.inform(address)
    shown = monitor.console.file.getvalue()
    assert shown == "" if quiet else f"{address}\npage  http://host:8300/?token=***\n"


@pytest.fixture(autouse=True)
def _not_in_ci(monkeypatch):
    monkeypatch.delenv("CI", raising=False)


def test_a_pipe_gets_a_plain_line_an_event():
    text = told(Monitor(console(terminal=False), 4))
    assert "\x1b" not in text
    assert [line.split("  ", 2)[-1].strip()[:24] for line in text.splitlines()] == [
        "here",
        "baseline  starts (4 in a",
        "baseline  epoch  1/9  va",
        "baseline  failed, memory",
    ]


def test_events_have_the_clock_of_the_screen():
    """Trials begin long after the command; both clocks count from then."""
    now = 1000.0
    out = console(terminal=False)
    monitor = Monitor(out, 4)
    monitor.progress = Progress(Limits(trials=4), clock=lambda: now)
    now += 75
    monitor.began(Proposal(training=TrainingId(0), config=TrialConfig(network="resnet10")))
    monitor.ended(TrialRecord(number=0, state=TrialState.FAILED, params={}, config={}, detail="x"))
    head, *_ = draw_screen(monitor.progress, width=80, height=24).renderables
    assert out.file.getvalue().splitlines()[-1].startswith("  1:15  baseline  failed")
    assert "search  1:15 " in str(head)


def test_a_pipe_stays_plain_when_colours_are_forced():
    assert not has_screen(console(terminal=False, FORCE_COLOR="1"))


@pytest.mark.parametrize(
    ("environment", "screen"),
    [({}, True), ({"TERM": "dumb"}, False), ({"NO_COLOR": "1"}, True)],
)
def test_a_terminal_has_a_screen_unless_it_can_t(environment, screen):
    assert has_screen(console(terminal=True, **environment)) is screen


def test_ci_has_no_screen(monkeypatch):
    monkeypatch.setenv("CI", "true")
    assert not has_screen(console(terminal=True))


def test_a_terminal_has_the_screen_and_news_above_it():
    text = told(Monitor(console(terminal=True), 4))
    assert "failed, memory: 2 GiB" in text
    assert "starts (4 in all)" not in text  # the screen has that
    assert "trials" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is there at the end
    verbose = told(Monitor(console(terminal=True), 4, verbose=True))
    assert "starts (4 in all)" in verbose


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet_leaves_what_goes_wrong(terminal):
    text = told(Monitor(console(terminal=terminal), 4, quiet=True))
    assert text.splitlines() == ["  0:00  baseline  failed, memory: 2 GiB"]


def test_a_broken_search_leaves_the_terminal_as_it_was():
    monitor = Monitor(console(terminal=True), 4)
    with pytest.raises(OSError, match="no disk"), monitor.watching():
        raise OSError("no disk")
    text = monitor.console.file.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert monitor.console._live_stack == []


def test_ctrl_c_is_told_on_the_screen_where_there_is_one(capfd):
    monitor = Monitor(console(terminal=True), 4)
    with monitor.watching():
        monitor.interrupted("Ctrl-C: ending")
    assert "Ctrl-C: ending" in monitor.console.file.getvalue()
    assert capfd.readouterr().err == ""
    monitor.interrupted("Ctrl-C: ending")
    assert capfd.readouterr().err == "\nCtrl-C: ending\n"


KILLED = """
import os, signal
from rich.console import Console
from results.records import TrainingId
from common.signals import handle_signals, hold
from search.monitoring.monitor import Monitor
from search.study.proposer import Proposal
from trainables.config import TrialConfig

monitor = Monitor(Console(), 4)
show = lambda name: monitor.interrupted(f"{name}: once more leaves")
with handle_signals(show), hold(), monitor.watching():
    config = TrialConfig(network="resnet10", epochs=9)
    monitor.began(Proposal(training=TrainingId(0), config=config))
    signal.raise_signal(signal.SIGINT)
    import time; time.sleep(0.8)
    os.write(2, b"core_worker.cc: an error from C++\\n")
    time.sleep(0.3)
    signal.raise_signal(signal.SIGINT)
"""


def test_ctrl_c_twice_leaves_a_cursor():
    """In a real terminal: the process is gone at once, and mends nothing."""
    reader, writer = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "CI"} | {"TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=ROOT, env=environment,
        stdin=writer, stdout=writer, stderr=writer,
    )  # fmt: skip
    os.close(writer)
    seen = b""
    try:
        while data := os.read(reader, 65536):
            seen += data
    except OSError:  # nobody writes any more
        pass
    assert process.wait(60) == 130
    os.close(reader)
    assert b"Ctrl-C: once more leaves" in seen
    assert b"\x1b[2Kcore_worker.cc: an error from C++" in seen  # on a line that was cleared for it
    assert seen.rindex(b"\x1b[?25h") > seen.rindex(b"\x1b[?25l")


def screened(*values):
    """What is printed of short trainings that end with these accuracies, of 100 images each."""
    monitor = Monitor(console(terminal=False), 4)
    monitor.opened(Limits(trials=4, screening=len(values), screening_epochs=6.0, val_images=100))
    config = TrialConfig(network="resnet10", epochs=1)
    for number, value in enumerate(values):
        training = TrainingId(number, screening=True)
        monitor.began(Proposal(training=training, config=config, images=0.25))
        monitor.epoch(training, metrics(1, value))
        monitor.ended(
            ScreeningRecord(
                number=number, params={}, images=0.25, state=TrialState.COMPLETE,
                config=config.to_dict(), epochs=1, val_top1=value,
            )
        )  # fmt: skip
    return monitor, [line[7:].strip() for line in monitor.console.file.getvalue().splitlines()]


def test_short_trainings_are_named_apart_and_judged_once_all_have_ended():
    monitor, lines = screened(0.2, 0.4, 0.6, 0.2, 0.5, 0.4)
    assert lines[0] == "screening 0: starts (6 short ones in all)"
    assert lines[1].startswith("screening 0: epoch  1/1  val_top1 0.200")
    assert "best so far" not in lines[1]
    assert lines[2] == "screening 0: complete, val_top1 0.200"
    assert [n for n, line in enumerate(lines) if "tell configurations" in line] == [18]
    assert lines[18].endswith("by chance alone 4.6; the best are tried next.")
    assert monitor.progress.leader() is None
    assert monitor.progress.epochs_done() == 0
    _, nothing = screened(0.4, 0.42, 0.4, 0.42, 0.41)
    assert nothing[-1].endswith("nothing follows from them.")


def test_the_rest_of_a_screening_counts_until_trials_begin():
    monitor, _ = screened(0.2, 0.4, 0.6)
    progress = monitor.progress
    progress.limits = Limits(trials=1, trial_epochs=5.0, full_epochs=10, screening=6,
                             screening_epochs=8.0, val_images=100, epoch_s=2.0)  # fmt: skip
    assert progress.epochs_left() == pytest.approx(8.0 / 2 + 5.0)
    assert progress.time_left_s() == pytest.approx(2.0 * 9.0)
    screen = "\n".join(str(line) for line in draw_screen(progress, 100, 30).renderables)
    assert "screening" in screen
    assert "3 of 6" in screen


def test_worthless_rungs_are_named_once_with_the_remedy():
    monitor = Monitor(console(terminal=False), 40)
    limits = Limits(trials=40, full_epochs=9, rungs=(3,), directory="runs/first", space="demo")
    monitor.opened(limits)
    config = TrialConfig(network="resnet10", epochs=9)
    for number in range(24):
        training = TrainingId(number)
        monitor.began(Proposal(training=training, config=config))
        for epoch in range(1, 10):
            late = 0.1 + number / 100
            monitor.epoch(training, metrics(epoch, 0.5 - late if epoch < 5 else late))
        state = TrialState.COMPLETE
        monitor.ended(TrialRecord(number=number, state=state, params={}, config={"epochs": 9}))
        text = " ".join(monitor.console.file.getvalue().split())
        assert ("--space demo --epochs 9 --grace 9 --warm-start runs/first`." in text) is (
            number >= ENOUGH - 1
        )
    assert text.count("doesn't predict") == 1


def test_the_log_has_the_expected_gain_after_each_tenth_trial_and_the_end_by_it():
    monitor = Monitor(console(terminal=False), 40)
    monitor.opened(Limits(trials=40, min_gain=0.002))
    for ended, upper in ((9, 0.03), (10, 0.03), (11, 0.0019)):
        monitor.began(Proposal(training=TrainingId(ended), config=TrialConfig(network="resnet10")))
        gain = {"ended": ended, "unit": "core-hour", "hour": 0.001, "hour_upper": upper}
        state = TrialState.COMPLETE
        monitor.ended(TrialRecord(number=ended, state=state, params={}, config={}, gain=gain))
    lines = [line[8:].strip() for line in monitor.console.file.getvalue().splitlines()]
    assert [line for line in lines if "gain" in line] == [
        "trial 10  expected gain: another core-hour 0.10 points (90 %: ≤ 3.00)",
        "trial 11  the last one: another core-hour would gain at most 0.19 points of val_top1 "
        "(90 %), less than --min-gain 0.002",
    ]


def test_no_trial_is_the_last_one_by_its_gain_where_all_had_begun():
    monitor = Monitor(console(terminal=False), 40)
    monitor.opened(Limits(trials=1, min_gain=0.002))
    monitor.began(Proposal(training=TrainingId(0), config=TrialConfig(network="resnet10")))
    gain = {"ended": 11, "unit": "core-hour", "hour": 0.001, "hour_upper": 0.0019}
    state = TrialState.COMPLETE
    monitor.ended(TrialRecord(number=0, state=state, params={}, config={}, gain=gain))
    assert "the last one" not in monitor.console.file.getvalue()
