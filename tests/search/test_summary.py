import io

import pytest
from rich.console import Console

from results.records import StopReason, TrialRecord, TrialState
from search.monitor import Monitor, describe
from search.study import Proposal
from search.summary import front_table, leaderboard
from tests.search.curves import metrics
from trainables.config import TrialConfig


def record(number, best, state=TrialState.COMPLETE, **more):
    return TrialRecord(
        number=number, state=state, params={}, config={}, epochs=3,
        best_epoch=2 if best else None, best_val_top1=best, **more,
    )  # fmt: skip


def printed(thing):
    console = Console(file=io.StringIO(), width=120)
    console.print(thing)
    return console.file.getvalue()


def test_the_leaderboard_ranks_and_always_shows_the_baseline():
    trials = {n: record(n, 0.4 + 0.01 * n) for n in range(1, 15)} | {0: record(0, 0.1)}
    text = printed(leaderboard(trials))
    lines = [line.split("│")[1:4] for line in text.splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in lines[0]] == ["1", "14", "0.540"]
    assert [cell.strip() for cell in lines[-1]] == ["15", "baseline", "0.100"]
    assert len(lines) == 11


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (record(1, 0.4), "complete"),
        (record(1, 0.4, TrialState.RUNNING), "unfinished"),
        (record(1, None, TrialState.FAILED, detail="out of paper"), "failed: out of paper"),
        (
            record(1, 0.4, TrialState.STOPPED, reason=StopReason.OVERFITTING, detail="gap 0.4"),
            "stopped, overfitting: gap 0.4",
        ),
    ],
)
def test_every_state_has_its_words(made, words):
    assert describe(made) == words


def test_one_plain_line_an_event(capsys):
    console = Console(file=io.StringIO(), width=40)
    monitor = Monitor(console, trials=4, epochs=9, verbose=False)
    monitor.stage("Ray")
    monitor.started(Proposal(number=0, config=TrialConfig(network="resnet10")))
    monitor.epoch(0, metrics(1, 0.5, gap=0.125))
    monitor.epoch(0, metrics(2, 0.4, loss=None))
    monitor.ended(record(0, 0.5))
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 4
    assert "epoch  1/9  val_top1 0.500  gap +0.125" in lines[1]
    assert lines[1].endswith("best so far")
    assert "train loss —" in lines[2]
    assert not lines[2].endswith("best so far")
    assert "\x1b" not in console.file.getvalue()


def test_verbose_tells_the_stages_and_the_first_step_once():
    console = Console(file=io.StringIO(), width=200)
    monitor = Monitor(console, trials=4, epochs=9, verbose=True)
    monitor.stage("Ray")
    monitor.first_step(monitor._stage_at + 2.5)
    monitor.first_step(monitor._stage_at + 9.5)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].strip().startswith("Ray: ")
    assert "worker and first batch: 2.5 s" in lines[1]


def cells(table):
    rows = [line.split("│")[1:-1] for line in printed(table).splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row] for row in rows]


def test_the_front_is_told_with_its_costs_and_the_baseline_below():
    made = [(0, 0.5, 20.0), (1, 0.6, 16.0), (2, 0.4, 4.0)]
    trials = {n: record(n, best, latency_ms=ms, parameters_m=4.905) for n, best, ms in made}
    rows = cells(front_table(trials, [trials[1], trials[2]]))
    assert rows == [
        ["1", "0.600", "16", "4.905", "2", "3", "complete"],
        ["2", "0.400", "4", "4.905", "2", "3", "complete"],
        ["baseline", "0.500", "20", "4.905", "2", "3", "complete, not on the front"],
    ]
    alone = cells(front_table({0: trials[0]}, [trials[0]]))
    assert alone == [["baseline", "0.500", "20", "4.905", "2", "3", "complete"]]


def test_a_measured_network_is_one_line(capsys):
    console = Console(file=io.StringIO(), width=40)
    monitor = Monitor(console, trials=4, epochs=9, verbose=False)
    monitor.measured(record(2, None, latency_ms=3.2, parameters_m=4.905))
    assert console.file.getvalue().endswith("network of 4.905 M parameters, 3.2 ms an image\n")
