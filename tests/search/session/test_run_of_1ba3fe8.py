"""A run that commit 1ba3fe8 began, before the modules were moved, goes on, exports and reports.

`run_of_1ba3fe8/` is its folder: three trials wanted on the images of `tiny_data`, one complete, one
after the first of its two epochs. `NEXT` is what that commit itself proposed as the third.
"""

import shutil
from pathlib import Path

import pytest

from datasets.access import open_search_data
from results import frame
from results.export import export
from results.records import TrialState
from results.report import write_report
from results.store import read_manifest, read_trials
from search.config.command_line import resolve
from search.planning.plan import Plan, make_plan, make_proposer
from search.session import execute
from search.session.resume import saved_options
from tests.search.study_on_curves import metrics
from trainables.final_model.best_config import read_best

KEPT = Path(__file__).with_name("run_of_1ba3fe8")

NEXT = {
    "dropout": 0.4, "label_smoothing": 0.2, "mixup_alpha": 0.0, "cutout": 0.375, "flip": False,
    "crop": 0.125, "lr": 0.002, "weight_decay": 0.0,
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    shutil.copytree(KEPT, tmp_path / "old")
    return tmp_path / "old"


def resumed(run: Path, data: Path) -> Plan:
    """The plan of `--resume old --out … --data …`."""
    given = {"out": str(run.parent), "data": str(data.parent)}
    options, errors = resolve(saved_options({"name": "old", "out": given["out"]}, [given]), given)
    plan, more = make_plan(options, resuming=True)
    assert plan is not None, errors + more
    return plan


def test_it_goes_on_to_the_same_proposals(run: Path, tiny_data: Path) -> None:
    plan, data = resumed(run, tiny_data), open_search_data(tiny_data)
    session = execute.open_session(plan, data, "float32", read_manifest(run))
    unfinished = session.study.ask()
    assert unfinished is not None
    assert (unfinished.number, unfinished.epochs_done) == (1, 1)
    session.study.report(1, metrics(2, 0.45))
    last = session.study.ask()
    assert last is not None
    assert (last.number, session.study.records[2].params) == (2, NEXT)
    for epoch in (1, 2):
        session.study.report(2, metrics(epoch, 0.2))
    assert session.study.ask() is None
    session.close()
    trials = read_trials(run)
    assert [(t.state, t.best_val_top1) for t in trials.values()] == [
        (TrialState.COMPLETE, 0.4), (TrialState.COMPLETE, 0.45), (TrialState.COMPLETE, 0.2),
    ]  # fmt: skip
    best = read_best(export(run))
    assert (best.config.network, best.config.batch_size) == ("resnet10", 16)
    assert best.config.but(seed=0) == make_proposer(plan).restore(trials[1].config).but(seed=0)


def test_it_is_exported_and_reported_as_it_stands(run: Path) -> None:
    best = read_best(export(run))
    assert (best.config.lr, best.config.epochs) == (0.002, 2)
    assert "40.0" in write_report(run).read_text("utf-8")
    assert frame.epochs(run)["val_top1"].tolist() == [0.3, 0.4, 0.35]
