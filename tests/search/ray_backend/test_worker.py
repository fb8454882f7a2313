from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from results.records import NetworkCosts
from search.preflight import PreflightError
from search.ray_backend import worker
from tests.search.study_on_curves import metrics
from tests.search.tasks import make_task
from trainables.config import TrialConfig


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
        worker, "train_epochs", lambda task: iter([metrics(1, 0.5), metrics(2, 0.6)])
    )
    trainable = worker.TrialWorker.__new__(worker.TrialWorker)
    trainable.setup(make_task(3, measure=measure).to_ray())
    first, second = trainable.step(), trainable.step()
    trainable.cleanup()
    assert asked == [3] * measure
    assert ("latency_ms" in first) is measure
    assert "latency_ms" not in second
    assert (first["val_top1"], second["val_top1"]) == (0.5, 0.6)


def test_a_training_that_waits_for_its_images_says_so_before_its_first_epoch(monkeypatch):
    waits, got = "waits for tiny, which this node lacks: gets it from /mnt/shared", []
    node_files = SimpleNamespace(
        lacking=lambda data: waits if str(data) == "/data/tiny" else None, data=got.append
    )
    monkeypatch.setattr(
        worker, "train_epochs", lambda task: iter([metrics(1, 0.5), metrics(2, 0.6)])
    )
    trainable = worker.TrialWorker.__new__(worker.TrialWorker)
    task = make_task(3, node_files=node_files)
    trainable.setup(task.to_ray())
    assert trainable.step() == {"note": waits, "waiting": True, "val_top1": None}
    assert got == []
    assert trainable.step() == {
        "note": "has its images after 0.0 s",
        "waiting": False,
        "val_top1": None,
    }
    assert got == [Path("/data/tiny")]
    assert [trainable.step()["val_top1"] for _ in range(2)] == [0.5, 0.6]
    trainable.reset_config(replace(task, data=Path("/data/other")).to_ray())
    assert trainable.step()["val_top1"] == 0.5
    trainable.cleanup()


def test_the_network_that_is_measured_has_the_dataset_s_classes(tiny_data, monkeypatch):
    monkeypatch.setattr("trainables.profiling.latency._SECONDS", 0.0)
    config = TrialConfig(network="resnet10", image_size=32, precision="float32")
    found = worker.measure_network(make_task(config=config, data=tiny_data.resolve()))
    # 4,900,000-odd of the body, and a last layer of four classes
    assert found.parameters_m == pytest.approx(4.905, abs=0.005)
    assert found.latency_ms > 0
