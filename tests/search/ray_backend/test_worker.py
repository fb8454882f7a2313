from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from results.overview.trial_log import TrialLog
from results.records import NetworkCosts, TrainingId
from results.store import checkpoint_path
from search.preflight import PreflightError
from search.ray_backend import worker
from search.ray_backend.task import Note, Placement, SessionEnd, read_report
from tests.search.study_on_curves import metrics
from tests.search.tasks import make_task
from trainables.config import TrialConfig
from trainables.profiling import latency
from trainables.training.frozen_views import Preparation


def test_a_worker_that_would_import_foreign_packages_trains_nothing(monkeypatch):
    sentence = "`datasets` must be the folder in /here, but Python finds /there."
    monkeypatch.setattr(worker, "foreign_packages", lambda root: [sentence])
    trainable = worker.TrialWorker.__new__(worker.TrialWorker)
    with pytest.raises(PreflightError, match="must be the folder in /here"):
        trainable.setup(make_task().to_ray())
    trainable.cleanup()


@pytest.mark.parametrize("measure", [True, False])
def test_what_a_network_costs_comes_with_a_trial_s_first_epoch_alone(monkeypatch, measure):
    costs, asked = NetworkCosts(latency_ms=3.0, parameters_m=4.9), []
    monkeypatch.setattr(
        worker, "measure_network", lambda task: asked.append(task.training.number) or costs
    )
    monkeypatch.setattr(
        worker, "train_epochs", lambda task, log: iter([metrics(1, 0.5), metrics(2, 0.6)])
    )
    trainable = worker.TrialWorker.__new__(worker.TrialWorker)
    trainable.setup(make_task(3, measure=measure).to_ray())
    first, second = (read_report(trainable.step()) for _ in range(2))
    trainable.cleanup()
    assert asked == [3] * measure
    assert first.costs == (costs if measure else None)
    assert second.costs is None
    assert (first.metrics.val_top1, second.metrics.val_top1) == (0.5, 0.6)


def test_a_training_that_waits_for_its_images_says_so_before_its_first_epoch(monkeypatch):
    waits, got = "waits for tiny, which this node lacks: gets it from /mnt/shared", []
    node_files = SimpleNamespace(
        lacking=lambda data: waits if str(data) == "/data/tiny" else None,
        data=got.append,
        log=TrialLog,
    )
    monkeypatch.setattr(
        worker, "train_epochs", lambda task, log: iter([metrics(1, 0.5), metrics(2, 0.6)])
    )
    trainable = worker.TrialWorker.__new__(worker.TrialWorker)
    task = make_task(3, node_files=node_files)
    trainable.setup(task.to_ray())
    assert read_report(trainable.step()) == Note(text=waits, waiting=True)
    assert got == []
    got_them = Note(text="has its images after 0.0 s", waiting=False)
    assert read_report(trainable.step()) == got_them
    assert got == [Path("/data/tiny")]
    assert [read_report(trainable.step()).metrics.val_top1 for _ in range(2)] == [0.5, 0.6]
    trainable.reset_config(replace(task, data=Path("/data/other")).to_ray())
    assert read_report(trainable.step()).metrics.val_top1 == 0.5
    trainable.cleanup()


def test_what_a_training_prepares_is_noted_before_its_epoch(monkeypatch):
    """The time before the first note counts as the worker's, and costs come with the epoch."""
    asked = []
    monkeypatch.setattr(
        worker,
        "measure_network",
        lambda task: asked.append(1) or NetworkCosts(latency_ms=3.0, parameters_m=4.9),
    )
    half, all_of_it = (Preparation(text=f"has outputs for {share}") for share in ("50%", "100%"))
    monkeypatch.setattr(
        worker,
        "train_epochs",
        lambda task, log: iter([half, all_of_it, metrics(1, 0.5), half, metrics(2, 0.6)]),
    )
    now = iter([0.0, 7.0, 100.0, 200.0, 201.0, 301.0, 401.0, 402.0])
    monkeypatch.setattr(worker, "time", SimpleNamespace(perf_counter=lambda: next(now), time=int))
    trainable = worker.TrialWorker.__new__(worker.TrialWorker)
    trainable.setup(make_task(3, measure=True).to_ray())
    found = [read_report(trainable.step()) for _ in range(5)]
    trainable.cleanup()
    notes = [Note(text=each.text, waiting=False) for each in (half, all_of_it)]
    assert found[:2] == notes
    assert found[3] == notes[0]
    assert [each.metrics.idle_s for each in (found[2], found[4])] == [7.0, 100.0]
    assert [each.costs is not None for each in (found[2], found[4])] == [True, False]
    assert asked == [1]


@pytest.mark.parametrize(
    ("gpus", "ids", "visible"), [(0.0, [], ""), (0.5, ["MIG-a"], "MIG-a"), (1.0, [3], "3")]
)
def test_a_worker_sees_the_gpu_of_its_slot_alone(monkeypatch, gpus, ids, visible):
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: ids)
    environment = {"CUDA_VISIBLE_DEVICES": "0,1,2,3"}
    worker.show_gpu(Placement(threads=1, gpus=gpus), environment)
    assert environment["CUDA_VISIBLE_DEVICES"] == visible


def test_the_network_that_is_measured_has_the_dataset_s_classes(tiny_data, monkeypatch):
    monkeypatch.setattr(latency, "_SECONDS", 0.0)
    config = TrialConfig(network="resnet10", image_size=32, precision="float32")
    found = worker.measure_network(make_task(config=config, data=tiny_data.resolve()))
    # 4,900,000-odd of the body, and a last layer of four classes
    assert found.parameters_m == pytest.approx(4.905, abs=0.005)
    assert found.latency_ms > 0


def test_a_training_that_is_asked_to_save_pauses_within_its_epoch(tiny_data, tmp_path):
    """It goes on from there to the epochs of a training that nobody has asked."""
    config = TrialConfig(
        network="resnet10", image_size=32, batch_size=16, epochs=2, precision="float32"
    )

    def task(name):
        path = checkpoint_path(tmp_path / name, TrainingId(0))
        return make_task(config=config, data=tiny_data.resolve(), checkpoint=path)

    def losses(epochs):
        return [epoch.train_loss for epoch in epochs]

    whole = losses(worker.train_epochs(task("whole")))
    SessionEnd(tmp_path / "cut").begin()
    trainable = worker.TrialWorker.__new__(worker.TrialWorker)
    trainable.setup(task("cut").to_ray())
    notes = [read_report(trainable.step()) for _ in range(2)]
    trainable.cleanup()
    assert notes == 2 * [Note(text="is saved after step 1 of epoch 1", waiting=True)]
    SessionEnd(tmp_path / "cut").forget()
    assert [path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()] == ["0000.pt"]
    assert losses(worker.train_epochs(task("cut"))) == whole


def test_a_training_names_its_gpus_and_their_node(monkeypatch):
    """Two nodes may both have a GPU 0; Ray's names of it are the same there."""
    here = SimpleNamespace(
        get_node_id=lambda: "a1", get_accelerator_ids=lambda: {"GPU": ["0"], "TPU": []}
    )
    monkeypatch.setattr(ray, "get_runtime_context", lambda: here)
    task = make_task(3)
    assert worker.name_gpus(task) == ()
    shared = replace(task, placement=replace(task.placement, gpus=0.3333))
    assert worker.name_gpus(shared) == ("a1/0",)


@pytest.mark.slow
def test_ray_names_the_gpus_of_slots():
    """Three slots of 0.3333 fill the first of two made-up GPUs, and the fourth gets the second."""
    task = make_task(3)
    shared = replace(task, placement=replace(task.placement, gpus=0.3333))
    ray.init(address="local", num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False)
    try:
        actors = [
            ray.remote(Naming).options(num_cpus=1, num_gpus=0.3333).remote() for _ in range(4)
        ]
        named = [ray.get(actor.name.remote(shared)) for actor in actors]
    finally:
        ray.shutdown()
    node = named[0][0].partition("/")[0]
    assert sorted(named) == [(f"{node}/0",)] * 3 + [(f"{node}/1",)]


class Naming:
    """Stands for a worker that has a slot."""

    def name(self, task):
        return worker.name_gpus(task)
