"""What driver and worker tell each other: it checks itself, and arrives as it was sent."""

import copy
import json
import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from common.errors import RecordError
from results.records import NetworkCosts, TrainingId
from search.ray_backend.node_files import NodeFiles
from search.ray_backend.run_files import RunFiles
from search.ray_backend.task import EpochReport, Note, Placement, Task, read_result
from search.study.proposal import Proposal
from tests.search.study_on_curves import metrics
from tests.search.tasks import make_task, result_of
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


@pytest.mark.parametrize("costs", [None, NetworkCosts(latency_ms=3.0, parameters_m=4.9)])
def test_an_epoch_is_read_as_it_was_reported(costs) -> None:
    report = EpochReport(metrics=metrics(2, 0.5), first_step_at=12.5, costs=costs)
    result = report.to_ray()
    assert (result["val_top1"], result["wall_s"]) == (0.5, 1.5)  # flat, as Ray's loggers have it
    arrived = json.loads(json.dumps(result)) | {"trial_id": "t", "pid": 7, "config": {}}
    assert read_result(arrived) == report


@pytest.mark.parametrize("waiting", [False, True])
def test_a_note_is_read_as_it_was_written_and_has_the_searcher_s_metric(waiting) -> None:
    note = Note(text="waits for tiny", waiting=waiting)
    assert note.to_ray()["val_top1"] is None
    assert read_result(note.to_ray() | {"pid": 7}) == note


def test_a_result_that_no_worker_writes_is_refused() -> None:
    whole = result_of(metrics(1, 0.5))
    with pytest.raises(RecordError, match="epoch='one' is of another kind"):
        read_result(whole | {"epoch": "one"})
    del whole["first_step_at"]
    with pytest.raises(KeyError, match="first_step_at"):
        read_result(whole)
