"""Tasks and reports check themselves, and arrive as they were sent."""

import copy
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from ray.tune.utils import flatten_dict

from results.records import NetworkCosts, TrainingId
from search.preflight import ROOT
from search.ray_backend.node_files import NodeFiles
from search.ray_backend.scheduler import StudySearcher
from search.ray_backend.task import (
    EpochReport,
    Note,
    Placement,
    RunFiles,
    Task,
    pack_report,
    read_report,
)
from search.study.proposer import Proposal
from tests.search.study_on_curves import metrics
from tests.search.tasks import make_task
from trainables.config import TrialConfig


@pytest.mark.parametrize("travel", [copy.deepcopy, lambda task: pickle.loads(pickle.dumps(task))])
def test_a_task_arrives_as_it_was_sent(travel) -> None:
    """Ray copies a searcher's configs, and pickles what goes to workers."""
    config = TrialConfig(network="resnet10", epochs=9, micro_batch_size=8)
    place = Placement(threads=2, gpus=0.5, apart_from=("g1",))
    task = make_task(3, 2, config=config, placement=place, measure=True, epochs_done=4)
    assert Task.from_ray(travel(task.to_ray())) == task


def test_a_task_can_t_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        make_task().epochs_done = 3


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"epochs_done": -1}, "epochs_done must be ≥ 0, but got -1."),
        ({"data": Path("data/tiny")}, "data must be an absolute path, but got data/tiny."),
        ({"checkpoint": Path("0.pt")}, "checkpoint must be an absolute path, but got 0.pt."),
    ],
)
def test_a_task_that_no_worker_can_do_is_refused(given, rule) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        make_task(**given)
    assert str(error.value) == rule


@pytest.mark.parametrize("given", [{"threads": 0}, {"gpus": -0.5}, {"memory_bytes": -1}])
def test_a_placement_has_something(given) -> None:
    (name,) = given
    with pytest.raises(ValueError, match=f"{name} must be ≥ "):
        Placement(**({"threads": 1} | given))


@pytest.mark.parametrize("config", [{}, {"task": {"number": 3}}])
def test_a_config_without_a_task_is_named(config) -> None:
    with pytest.raises(TypeError, match="must hold a Task, but holds"):
        Task.from_ray(config)


def test_tasks_of_a_run_lead_to_its_files(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    nodes = NodeFiles(driver_node="h")
    files = RunFiles(directory=Path("runs/a"), data=Path("data/tiny"), node_files=nodes)
    config = TrialConfig(network="resnet10")
    proposal = Proposal(training=TrainingId(5, 1), config=config, epochs_done=2)
    task = files.task(proposal, Placement(threads=1), measure=False)
    assert task.checkpoint == (tmp_path / "runs/a/checkpoints/0005-repeat-1.pt").resolve()
    assert task.data == (tmp_path / "data/tiny").resolve()
    assert (task.training, task.config, task.epochs_done) == (TrainingId(5, 1), config, 2)
    assert task.node_files == nodes


@pytest.mark.parametrize(
    "report",
    [
        EpochReport(metrics=metrics(2, 0.5), first_step_at=12.5),
        EpochReport(
            metrics=metrics(2, 0.5),
            first_step_at=12.5,
            costs=NetworkCosts(latency_ms=3.0, parameters_m=4.9),
        ),
        Note(text="waits for tiny", waiting=True),
        Note(text="has its images", waiting=False),
    ],
)
def test_a_report_arrives_as_it_was_sent(report) -> None:
    """Ray pickles what a worker returns, adds keys of its own, and flattens the dicts in it."""
    sent = pickle.dumps(pack_report(report))
    arrived = flatten_dict(pickle.loads(sent) | {"trial_id": "t", "pid": 7, "config": {"a": 1}})
    assert read_report(arrived) == report
    if isinstance(report, EpochReport):
        found = read_report(arrived).metrics
        assert (found.val_top1, found.wall_s) == (0.5, 1.5)


def test_the_searcher_asks_for_no_metric_that_a_result_must_have() -> None:
    assert StudySearcher(None, None, None, None).metric is None


@pytest.mark.parametrize("result", [{}, {"report": {"epoch": "one"}}, {"epoch": 1}])
def test_a_result_without_a_report_is_refused(result) -> None:
    with pytest.raises(TypeError, match="must hold a report, but holds"):
        read_report(result)


def test_workers_import_early_what_trains_and_nothing_that_only_decides() -> None:
    code = (
        "import sys, search.ray_backend.preload\n"
        "print(sorted({'optuna', 'torch', 'trainables.train'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.strip() == "['torch', 'trainables.train']"
