"""What Ray writes down of trials that break off, and what the scheduler makes of it."""

import errno
import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from rich.console import Console

from common.text import last_lines
from results.records import StopReason, TrainingId, TrialState
from results.side_store import FINALIST_FILES, SideStore
from results.store import RunError
from search.hardware.allocation import Resources, allocate_nodes
from search.hardware.machine import Machine, Node
from search.monitoring.monitor import Monitor
from search.ray_backend import worker
from search.ray_backend.failures import read_failure
from search.ray_backend.heartbeat import RayDied
from search.ray_backend.ray_patches import outlive_lost_workers
from search.ray_backend.scheduler import MOST_NODES_LOST, StudyScheduler
from search.ray_backend.slots import Slots
from search.ray_backend.task import EpochReport, Placement, Task, pack_report
from search.ray_backend.watchdog import Watchdog
from search.ray_backend.worker import (
    TrialDiskError,
    TrialMemoryError,
    TrialWorker,
    resource_request,
)
from search.study.finalists import Finalists
from search.study.observer import Observer
from search.study.study import Study
from search.study.supervisor import Supervisor
from tests.search.finalists_on_curves import final_of
from tests.search.hardware.faked_gpus import gpus as faked_gpus
from tests.search.study_on_curves import metrics, open_study
from tests.search.tasks import make_task, task_of
from trainables.config import TrialConfig

WANT = (
    "\x1b[36mray::ResourceTrainable.train()\x1b[39m (pid=1)\n  File …\n    g()\n"
    "torch.OutOfMemoryError: CUDA\n\nThe above exception …\n\n  File …\n    g()\n"
    "search.ray_backend.worker.TrialMemoryError: OutOfMemoryError: CUDA\n"
)
KILLED = (
    "1 worker(s) were killed due to the node running low on memory. Memory was 9GB.\n"
    "OOM kill reason: …\nTop 10 memory users: PID\tMEM(GB)\tCOMMAND\nRefer to the documentation.\n"
)
FULL = (
    "  File …\n    g()\n"
    "search.ray_backend.worker.TrialDiskError: The disk that holds runs/a is full; free "
    "some space there, then go on with --resume a: all that was recorded is kept.\n"
)
ONE = Resources(concurrent=1, threads=1, why="")
LOST = (
    "The actor died unexpectedly before finishing this task.\n\tclass_name: ResourceTrainable\n"
    "\tip: 10.0.0.2\nThe actor died because its node has died. Node Id: 4f.\n"
)
OTHER = "  File …\n    g()\nRuntimeError: no disk\n"


def failed(path: Path, *errors: str) -> SimpleNamespace:
    """A trial as Ray leaves it after these failures."""
    text = "".join(f"Failure # {n} (occurred at now)\n{e}" for n, e in enumerate(errors, 1))
    (path / "error.txt").write_text(text, encoding="utf-8")
    return SimpleNamespace(error_file=str(path / "error.txt"))


def test_the_latest_failure_counts(tmp_path: Path) -> None:
    found = read_failure(failed(tmp_path, OTHER, WANT))
    assert found.reason is StopReason.MEMORY
    assert (
        last_lines(found.error)
        == "search.ray_backend.worker.TrialMemoryError: OutOfMemoryError: CUDA"
    )
    assert "\x1b" not in found.error
    found = read_failure(failed(tmp_path, WANT, OTHER))
    assert (found.reason, found.refusal) == (None, None)
    assert last_lines(found.error) == "RuntimeError: no disk"


def test_a_worker_killed_for_memory_ran_out_of_it(tmp_path: Path) -> None:
    found = read_failure(failed(tmp_path, KILLED))
    assert found.reason is StopReason.MEMORY
    assert last_lines(found.error) == KILLED.splitlines()[0]
    assert "Top 10 memory users" in found.error


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        (LOST, True),
        ("The actor is dead because its owner has died. Owner Id: 01\n", True),
        ("The actor died because its worker process has died. Worker exit type: SYSTEM\n", False),
    ],
)
def test_a_worker_that_went_with_its_node_or_its_owner_is_no_failure(tmp_path, message, lost):
    assert read_failure(failed(tmp_path, message)).node_lost is lost


def test_a_worker_may_end_without_a_word() -> None:
    found = read_failure(SimpleNamespace(error_file=None))
    assert (found.error, found.reason) == ("the worker ended without a word", None)


def test_a_worker_killed_for_memory_ends_one_trial_and_not_the_loop() -> None:
    outlive_lost_workers()
    outlive_lost_workers()
    told: list[Any] = []
    actor = SimpleNamespace(actor_id="a", _on_error=lambda *given: told.append(given[1]))
    task = SimpleNamespace(_tracked_actor=actor, _on_error=lambda *given: told.append(given[1]))
    manager = SimpleNamespace(_failed_actor_ids=set(), _cleanup_actor=lambda tracked_actor: None)
    RayActorManager._actor_task_failed(manager, task, OutOfMemoryError(KILLED))
    assert [str(error) for error in told] == [KILLED, KILLED]
    with pytest.raises(RuntimeError, match="unexpected"):
        RayActorManager._actor_task_failed(manager, task, OSError("another"))


def test_a_worker_whose_node_was_lost_is_no_failure_for_tune(tmp_path: Path) -> None:
    assert read_failure(failed(tmp_path, OTHER, LOST)).node_lost
    assert not read_failure(failed(tmp_path, LOST, OTHER)).node_lost
    outlive_lost_workers()
    told: list[Any] = []
    actor = SimpleNamespace(actor_id="a", _on_error=lambda *given: told.append(given[1]))
    task = SimpleNamespace(_tracked_actor=actor, _on_error=None)
    manager = SimpleNamespace(_failed_actor_ids=set(), _cleanup_actor=lambda tracked_actor: None)
    unreachable = ActorUnavailableError("RpcError: Socket closed", b"1" * 16)
    died = RayActorError(error_msg="The actor died because its worker process has died.")
    for error in (RayActorError(error_msg=LOST), unreachable, died):
        RayActorManager._actor_task_failed(manager, task, error)
        RayActorManager._actor_start_failed(manager, actor, error)
    assert [error.preempted for error in told] == [True, True, True, True, False, False]
    assert str(told[0]) == LOST


def test_a_worker_that_is_gone_when_its_next_trial_comes_breaks_that_off_once() -> None:
    """Ray tells Tune of its actor, and then of its task, when the trial waits to be tried again."""
    outlive_lost_workers()
    told: list[Any] = []

    def process(trial: Any, exception: Exception) -> None:
        told.append(exception)
        trial.status = Trial.PENDING

    trial = HashableTrial(status=Trial.RUNNING)
    controller: Any = SimpleNamespace(
        _resetting_trials={trial}, _fail_fast=False, RAISE="raise", _print_trial_errors=False,
        _process_trial_failure=process,
    )  # fmt: skip
    died = RayActorError(error_msg=LOST)
    for error in (died, died):
        TuneController._trial_task_failure(controller, trial, error)
    assert told == [died]
    assert controller._resetting_trials == set()  # else no worker would ever be looked for
    trial.status = Trial.RUNNING
    TuneController._trial_task_failure(controller, trial, died)
    assert told == [died, died]


def supervise(study: Study[TrialConfig]) -> Supervisor:
    """The supervisor of a study without finalists."""
    store = SideStore(FINALIST_FILES, study.store.directory)  # type: ignore[attr-defined]
    return Supervisor(study, Finalists(study=study, store=store, count=0, repeats=2, seed=0))


class HashableTrial(SimpleNamespace):
    __hash__ = object.__hash__


class RayTrial(SimpleNamespace):
    """What the scheduler sees and sets of Ray's `Trial`."""

    trial_id = "t"

    def __init__(self, num_failures: int, **given: Any) -> None:
        super().__init__(run_metadata=SimpleNamespace(num_failures=num_failures), **given)

    @property
    def num_failures(self) -> int:
        return self.run_metadata.num_failures

    def set_config(self, config: dict[str, Any]) -> None:
        self.config = config

    def update_resources(self, resources: Any) -> None:
        self.resources = resources


@pytest.mark.parametrize("error", [WANT, OTHER])
def test_a_trial_is_tried_once_more_after_want_of_memory_in_pieces(tmp_path, error):
    study = open_study(tmp_path / "run", trials=3)
    said = io.StringIO()
    monitor = Monitor(Console(file=said, width=200), 3, verbose=False)
    scheduler = StudyScheduler(supervise(study), monitor, Watchdog(0.0), Slots(ONE))
    proposal = study.ask()
    monitor.began(proposal)
    size = proposal.config.batch_size
    trial = RayTrial(
        config=task_of(proposal).to_ray(), num_failures=0, max_failures=0, status=Trial.ERROR
    )
    scheduler.on_trial_add(None, trial)
    assert trial.max_failures == 1
    study.report(0, metrics(1, 0.3))

    trial.run_metadata.num_failures = 1
    trial.error_file = failed(tmp_path, error).error_file
    scheduler.on_trial_error(None, trial)
    scheduler.on_trial_add(None, trial)
    assert trial.max_failures == 1  # none is left
    at_once = size // 2 if error is WANT else None
    task = Task.from_ray(trial.config)
    assert task.config.micro_batch_size == at_once
    assert task.config.batch_size == size
    assert (task.epochs_done, task.training) == (1, TrainingId(0))
    assert task.measure is False  # of a single objective
    assert study.records[0].config == task.config.to_dict()
    assert "tried again after epoch 1" in said.getvalue()
    assert (f"with at most {at_once} images at once" in said.getvalue()) == bool(at_once)

    trial.status, trial.error_file = Trial.RUNNING, failed(tmp_path, error, error).error_file
    scheduler.on_trial_error(None, trial)
    assert study.records[0].state is TrialState.FAILED
    assert study.records[0].reason == (StopReason.MEMORY if error is WANT else None)


@pytest.mark.parametrize("error", [WANT, OTHER])
def test_a_finalist_too_is_tried_once_more_after_want_of_memory_in_pieces(tmp_path, error):
    finalists, said = final_of(tmp_path / "run", count=1), io.StringIO()
    supervisor = Supervisor(finalists.study, finalists)
    monitor = Monitor(Console(file=said, width=200), 6, verbose=False)
    scheduler = StudyScheduler(supervisor, monitor, Watchdog(0.0), Slots(ONE))
    proposal = supervisor.propose()
    monitor.began(proposal)
    config, training = proposal.config, proposal.training
    assert training.is_finalist
    trial = RayTrial(
        config=task_of(proposal).to_ray(), num_failures=0, max_failures=0, status=Trial.ERROR
    )
    scheduler.on_trial_add(None, trial)
    assert trial.max_failures == 1
    supervisor.epoch(training, metrics(1, 0.3))
    before = said.getvalue()

    trial.run_metadata.num_failures = 1
    trial.error_file = failed(tmp_path, error).error_file
    scheduler.on_trial_error(None, trial)
    scheduler.on_trial_add(None, trial)
    assert trial.max_failures == 1  # none is left
    at_once = config.batch_size // 2 if error is WANT else None
    again = Task.from_ray(trial.config)
    assert again.config == config.but(micro_batch_size=at_once)
    assert (again.training, again.epochs_done) == (training, 1)
    assert supervisor.record(training).config == config.to_dict()  # of this nothing is recorded
    assert said.getvalue() == before

    trial.status = Trial.RUNNING
    scheduler.on_trial_error(None, trial)
    record = supervisor.record(training)
    assert (record.state, record.epochs) == (TrialState.FAILED, 1)
    assert record.reason == (StopReason.MEMORY if error is WANT else None)
    assert "repeat 1: failed" in said.getvalue()


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., tuple[StudyScheduler, RayTrial]]:
    """A scheduler over a study whose baseline has run for an epoch, and Ray's trial of it."""

    def start(watchdog: Watchdog) -> tuple[StudyScheduler, RayTrial]:
        study = open_study(tmp_path / "run", trials=3)
        monitor = Monitor(Console(file=io.StringIO()), 3, verbose=False)
        proposal = study.ask()
        monitor.began(proposal)
        study.report(0, metrics(1, 0.3))
        task = task_of(proposal, epochs_done=1)
        trial = RayTrial(config=task.to_ray(), num_failures=1, max_failures=1, status=Trial.ERROR)
        return StudyScheduler(supervise(study), monitor, watchdog, Slots(ONE)), trial

    return start


def test_a_trial_that_stalls_is_tried_once_more_and_then_fails_for_that(tmp_path, started):
    clock = [0.0]
    watchdog = Watchdog(3.0, clock=lambda: clock[0])
    scheduler, trial = started(watchdog)
    trial.error_file = failed(
        tmp_path, "The actor died because it was killed by ray.kill."
    ).error_file
    for status in (Trial.ERROR, Trial.RUNNING):
        watchdog.begins(TrainingId(0), TrialConfig(network="resnet10"), 0.0, [1.0])
        for _ in range(5):
            clock[0] += 3.0
            watchdog.stalled()
        trial.status = status
        scheduler.on_trial_error(None, trial)
    record = scheduler._supervisor.record(TrainingId(0))
    assert (record.state, record.reason) == (TrialState.FAILED, StopReason.STALLED)
    told = "reported nothing for 12 s, where its median epoch takes 1 s"
    assert (record.retried, record.detail) == (told, told)


@pytest.mark.parametrize("status", [Trial.ERROR, Trial.RUNNING])
def test_a_full_disk_ends_the_search_and_no_trial(tmp_path, started, status):
    """Neither where Ray would try it again nor where it wouldn't."""
    scheduler, trial = started(Watchdog(0.0))
    trial.status, trial.error_file = status, failed(tmp_path, OTHER, FULL).error_file
    with pytest.raises(RunError, match="runs/a is full; free some space there, then go on"):
        scheduler.on_trial_error(None, trial)
    record = scheduler._supervisor.record(TrainingId(0))
    assert (record.state, record.retried) == (TrialState.RUNNING, None)


def on_lost_nodes(tmp_path, there):
    """(study, scheduler, its first trial on a GPU, seats of `there`), after one epoch."""
    gpu = Node(
        id="g", address="", machine=Machine(cpus=4, memory_bytes=1 << 34, gpus=faked_gpus("A100"))
    )
    cpu = Node(id="c", address="", machine=Machine(cpus=4, memory_bytes=1 << 34, gpus=()))
    there += [gpu, cpu]
    shared = allocate_nodes(there, concurrency="auto", per_gpu=1, trials=9, worker_bytes=1 << 30)
    slots, study = Slots(shared, lambda: tuple(there)), open_study(tmp_path / "run", trials=9)
    said = io.StringIO()
    monitor = Monitor(Console(file=said, width=200), 9, verbose=False)
    scheduler = StudyScheduler(supervise(study), monitor, Watchdog(0.0), slots)
    proposal = study.ask()
    monitor.began(proposal)
    task = task_of(proposal, placement=slots.place(slots.take("t")))
    trial = RayTrial(config=task.to_ray(), num_failures=0, max_failures=0, status=Trial.ERROR)
    trial.error_file = failed(tmp_path, LOST).error_file
    scheduler.on_trial_add(None, trial)
    study.report(0, metrics(1, 0.3))
    return study, scheduler, trial, said


def test_a_trial_whose_node_was_lost_goes_on_elsewhere_and_has_not_failed(tmp_path):
    there: list[Node] = []
    study, scheduler, trial, said = on_lost_nodes(tmp_path, there)
    assert Task.from_ray(trial.config).placement.gpus == 1.0
    del there[0]
    before = dict(study.records[0].config)
    scheduler.on_trial_error(None, trial)
    scheduler.on_trial_add(None, trial)
    # to the cores, as no GPU is left; with nothing against it, and its retry still to come
    task = Task.from_ray(trial.config)
    assert (task.placement.gpus, task.placement.threads) == (0.0, 1)
    assert trial.resources.bundles == [{"CPU": 1.0, "memory": float(1 << 30)}]
    assert task.epochs_done == 1
    assert trial.max_failures == 1
    assert "its node was lost: goes on elsewhere after epoch 1" in said.getvalue()
    record = study.records[0]
    assert (record.state, record.retried, record.config) == (TrialState.RUNNING, None, before)
    assert study.may_retry(0)
    assert not (tmp_path / "run" / "errors").exists()


def test_a_trial_that_takes_its_nodes_down_fails_in_the_end(tmp_path):
    study, scheduler, trial, _ = on_lost_nodes(tmp_path, [])
    for _ in range(MOST_NODES_LOST):
        scheduler.on_trial_add(None, trial)
        assert trial.num_failures <= trial.max_failures
        scheduler.on_trial_error(None, trial)
    scheduler.on_trial_add(None, trial)
    assert trial.num_failures > trial.max_failures >= 0  # as Ray says that nothing is left
    trial.status = Trial.RUNNING
    scheduler.on_trial_error(None, trial)
    assert study.records[0].state is TrialState.FAILED
    assert "its node has died" in study.records[0].detail


def test_cores_beside_gpus_are_left_to_them(tmp_path):
    place = Placement(threads=2, memory_bytes=1 << 30, apart_from=("g1", "g2"))
    asked = resource_request(make_task(placement=place).to_ray())
    assert asked.bundles == [{"CPU": 2.0, "memory": float(1 << 30)}]
    assert asked._kwargs == {"bundle_label_selector": [{"ray.io/node-id": "!in(g1,g2)"}]}
    alike = [make_task(number, placement=Placement(threads=2, gpus=0.5)) for number in (0, 1)]
    on_gpu = resource_request(alike[0].to_ray())
    assert on_gpu == resource_request(alike[1].to_ray())
    assert on_gpu.bundles == [{"CPU": 2.0, "GPU": 0.5}]
    assert on_gpu != asked


@pytest.mark.parametrize("measure", [False, True])
@pytest.mark.parametrize(
    ("raised", "arrives"),
    [
        (MemoryError("2 GiB"), TrialMemoryError),
        (OSError(errno.EIO, "2 GiB"), OSError),
        (OSError(errno.ENOSPC, "2 GiB"), TrialDiskError),
    ],
)
def test_the_worker_names_want_of_memory_and_of_room(monkeypatch, raised, arrives, measure):
    """In training, and where what a network costs is measured before."""

    def broken():
        raise raised
        yield

    monkeypatch.setattr(worker, "measure_network", lambda task: next(broken()))
    trainable = TrialWorker.__new__(TrialWorker)
    trainable._epochs, trainable._ended = iter(()) if measure else broken(), 0.0
    trainable._notes = iter(())
    task = make_task(checkpoint=Path("/runs/a/c/0.pt"))
    trainable._measure, trainable._task, trainable._next = measure, task, None
    said = "disk that holds /runs/a is full" if arrives is TrialDiskError else "2 GiB"
    with pytest.raises(arrives, match=said):
        trainable.step()


def test_a_worker_that_ended_with_ray_costs_its_trial_nothing(tmp_path):
    study = open_study(tmp_path / "run", trials=3)
    monitor = Monitor(Console(file=io.StringIO(), width=200), 3, verbose=False)

    def dead() -> None:
        raise RayDied("its raylet has ended")

    scheduler = StudyScheduler(supervise(study), monitor, Watchdog(0.0), Slots(ONE), dead)
    trial = RayTrial(
        config=task_of(study.ask()).to_ray(), num_failures=0, max_failures=0, status=Trial.ERROR
    )
    with pytest.raises(RayDied):
        scheduler.on_trial_error(None, trial)
    assert study.records[0].retried is None
    assert study.may_retry(0)
    assert not (tmp_path / "run" / "errors").exists()


def test_an_epoch_s_gpus_are_known_before_it_is_recorded(tmp_path):
    """The record of an epoch holds the time of GPUs so far, to which the new name belongs."""
    study = open_study(tmp_path / "run", trials=3)
    seen: list[Any] = []

    class Recorder(Observer):
        def placed(self, training, gpus):
            seen.append((training, gpus, len(study.epochs[0])))

    scheduler = StudyScheduler(supervise(study), Recorder(), Watchdog(0.0), Slots(ONE))
    proposal = study.ask()
    trial = RayTrial(config=task_of(proposal).to_ray(), num_failures=0)
    report = EpochReport(metrics=metrics(1, 0.3), first_step_at=0.0, gpus=("a/0",))
    scheduler.on_trial_result(None, trial, pack_report(report))
    assert seen == [(proposal.training, ("a/0",), 0)]
    assert len(study.epochs[0]) == 1
