"""The table in a notebook: what it shows, that it stays one, and that nothing in it is markup."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from results.records import StopReason, TrainingId, TrialRecord, TrialState
from search.monitoring import notebook
from search.monitoring.callback import ReportingMonitor
from search.monitoring.limits import Limits
from search.monitoring.notebook import NotebookMonitor, draw_table, in_notebook
from search.study.proposer import Proposal
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig


class Cell:
    """Stands for a notebook's cell: the tables that it has, each with its latest text."""

    def __init__(self):
        self.tables, self.updates = [], 0

    def __call__(self, text):
        place = len(self.tables)
        self.tables.append(text)

        def update(newer):
            self.tables[place] = newer
            self.updates += 1

        return update


def play(monitor):
    """Two trials, of which the second fails."""
    monitor.opened(Limits(trials=4, title="<b>run</b>", full_epochs=9))
    for number in (0, 1):
        config = TrialConfig(network="resnet10", epochs=9)
        monitor.began(Proposal(training=TrainingId(number), config=config))
    monitor.epoch(TrainingId(0), metrics(1, 0.5))
    monitor.epoch(TrainingId(1), metrics(1, 0.25))
    monitor.epoch(TrainingId(1), metrics(1, 0.25), new=False)
    record = TrialRecord(
        number=1, state=TrialState.FAILED, params={}, config={}, reason=StopReason.MEMORY,
        detail="2 GiB <i>",
    )  # fmt: skip
    monitor.ended(record)


def quiet():
    return Console(file=io.StringIO(), quiet=True)


def test_the_address_of_the_page_stays_with_the_token_that_opens_it():
    cell, quiet_cell = Cell(), Cell()
    for each, is_quiet in ((cell, False), (quiet_cell, True)):
        monitor = NotebookMonitor(quiet(), 4, display=each, quiet=is_quiet)
        monitor.show_address("page  http://host:8300/?token=s3cret-w0rd&<b>")
        play(monitor)
        monitor.tick()
    assert "page  http://host:8300/?token=s3cret-w0rd&amp;&lt;b&gt;</div>" in cell.tables[0]
    assert "http" not in quiet_cell.tables[0]


def test_one_table_follows_the_search(monkeypatch):
    monkeypatch.setattr(notebook, "EVERY_S", 0.0)
    cell = Cell()
    monitor = NotebookMonitor(quiet(), 4, display=cell)
    assert len(cell.tables) == 1
    monitor.inform("dashboard  here & there")
    assert "dashboard here &amp; there" in cell.tables[0]
    with monitor.watching():
        play(monitor)
    assert len(cell.tables) == 1
    assert cell.updates >= 5
    [table] = cell.tables
    assert "1 of 4 trials ended" in table
    assert "<td" in table
    assert "baseline" in table
    assert "1/9" in table
    assert "0.500" in table
    assert "&lt;b&gt;run&lt;/b&gt;" in table
    assert "<i>" not in table
    assert "2 GiB &lt;i&gt;" in table  # a note, because something went wrong


def test_it_is_drawn_no_more_often_than_people_read(monkeypatch):
    monkeypatch.setattr(notebook, "EVERY_S", 1000.0)
    cell = Cell()
    monitor = NotebookMonitor(quiet(), 4, display=cell)
    with monitor.watching():
        monitor.opened(Limits(trials=4))
        for _ in range(100):
            monitor.tick()
        assert cell.updates == 0
    assert cell.updates == 1


def test_a_table_that_can_t_be_shown_is_told_once_and_harms_nothing():
    def broken(_text):
        raise RuntimeError("no display")

    monitor = NotebookMonitor(quiet(), 4, display=broken)
    play(monitor)
    shown = [note for note in monitor.notes if "can't be shown" in note]
    assert shown == ["The table can't be shown (RuntimeError: no display)."]


def test_a_secret_isn_t_shown(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "s3cretvalue99")
    monitor = ReportingMonitor(quiet(), 4, quiet=True)
    assert "s3cretvalue99" not in draw_table(monitor.progress, "key s3cretvalue99")


def test_a_terminal_and_a_pipe_are_no_notebook(monkeypatch):
    assert not in_notebook()
    shells = {"terminal": SimpleNamespace(), "kernel": SimpleNamespace(kernel=object())}
    for kind, shell in shells.items():
        ipython = SimpleNamespace(get_ipython=lambda shell=shell: shell)
        monkeypatch.setitem(notebook.sys.modules, "IPython", ipython)
        assert in_notebook() == (kind == "kernel")


def test_a_function_gets_each_new_epoch_and_each_end():
    seen = []
    play(ReportingMonitor(quiet(), 4, seen.append, quiet=True))
    assert [(p.training, p.epoch, p.ended) for p in seen] == [
        ("baseline", 1, False), ("trial 1", 1, False), ("trial 1", 1, True)
    ]  # fmt: skip
    first, second, last = seen
    assert (first.val_top1, first.best_trial, first.best_val_top1) == (0.5, 0, 0.5)
    assert (second.val_top1, second.best_trial, second.trials_ended) == (0.25, 0, 0)
    assert (last.state, last.reason, last.trials_ended, last.trials) == ("failed", "memory", 1, 4)
    with pytest.raises(AttributeError):
        first.trial = 3
