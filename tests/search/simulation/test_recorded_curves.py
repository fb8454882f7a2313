import math

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.samplers.encoding import Encoding
from search.simulation.recorded_curves import (
    CurvesError,
    read_curves,
    read_curves_file,
    read_run_curves,
)
from tests.search.study_on_curves import metrics, open_study


def test_numbers_lie_between_0_and_1_and_choices_at_distance_1():
    encoding = Encoding(
        {
            "lr": FloatDistribution(1e-4, 1e-2, log=True),
            "layers": IntDistribution(1, 5),
            "optimizer": CategoricalDistribution(["sgd", "adam", "adamw"]),
            "momentum": FloatDistribution(0.5, 0.9),
        }
    )
    first = encoding.encode({"lr": 1e-3, "layers": 2, "optimizer": "sgd", "momentum": 0.6})
    assert first == pytest.approx([0.5, 0.25, 1 / math.sqrt(2), 0, 0, 0.25])
    other = encoding.encode({"lr": 1e-3, "layers": 2, "optimizer": "adamw"})
    assert np.isnan(other[-1])
    assert np.linalg.norm((first - other)[:-1]) == pytest.approx(1.0)


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_a_file_of_accuracies(tmp_path):
    rng = np.random.default_rng(0)
    configs = np.stack([np.exp(rng.uniform(np.log(1e-4), np.log(1e-1), 400)),
                        rng.uniform(0, 1, 400),
                        rng.integers(1, 6, 400),
                        1 - np.exp(rng.uniform(np.log(1e-4), 0, 400))], axis=1)  # fmt: skip
    accuracy = np.tile([10.0, 50.0], (400, 1))
    accuracy[7] = [20.0, 80.0]
    path = write(tmp_path / "task.npz", configs=configs, val_accuracy=accuracy,
                 names=["lr", "dropout", "layers", "beta"], wall_s=np.full(400, 6.0))  # fmt: skip
    curves = read_curves_file(path)
    assert (curves.name, curves.epochs, len(curves.val)) == ("task", 2, 400)
    kinds = {name: (type(each), each.log) for name, each in curves.space.items()}
    assert kinds == {
        "lr": (FloatDistribution, True),
        "dropout": (FloatDistribution, False),
        "layers": (IntDistribution, False),
        "1-beta": (FloatDistribution, True),
    }
    lr, dropout, layers, beta = configs[7]
    asked = {"lr": lr * 1.001, "dropout": dropout, "layers": int(layers), "1-beta": 1 - beta}
    assert curves.nearest(asked) == 7
    epoch = curves.metrics(7, 2)
    assert (epoch.epoch, epoch.val_top1, epoch.gap, epoch.wall_s) == (2, 0.8, 0.0, 3.0)
    assert epoch.train_loss == 0.0  # none recorded: nothing ever diverges


def test_a_file_of_losses_gives_probabilities(tmp_path):
    configs = np.linspace(0, 1, 6).reshape(3, 2)
    val = [[math.log(2), math.log(4)], [math.inf, math.nan], [0.0, 1e5]]
    train = [[0.0, math.log(2)], [1.0, math.nan], [1.0, 1.0]]
    path = write(tmp_path / "task.npz", configs=configs, names=["a", "b"], val_loss=val,
                 train_loss=train)  # fmt: skip
    curves = read_curves_file(path)
    assert curves.val.tolist() == [pytest.approx([0.5, 0.25]), [0.0, 0.0], [1.0, 0.0]]
    epoch = curves.metrics(0, 2)
    assert epoch.train_top1 == pytest.approx(0.5)
    assert epoch.gap == pytest.approx(0.25)
    assert epoch.wall_s == 1.0
    assert curves.metrics(1, 2).train_loss is None


def test_what_lacks_in_a_file_is_named(tmp_path):
    path = write(tmp_path / "task.npz", configs=np.zeros((2, 1)), val_loss=np.zeros((2, 3)))
    with pytest.raises(CurvesError, match="but has no names"):
        read_curves(path)
    path = write(tmp_path / "other.npz", configs=np.zeros((2, 1)), names=["a"])
    with pytest.raises(CurvesError, match="but has no val_accuracy or val_loss"):
        read_curves(path)
    with pytest.raises(CurvesError, match=r"must be an \.npz file"):
        read_curves(tmp_path / "nowhere.npz")


def test_a_runs_stopped_trials_hold_their_last_value_and_diverged_ones_diverge_again(tmp_path):
    study = open_study(tmp_path / "run", trials=3)
    study.store.write_manifest({"sessions": []})
    for number, losses in enumerate([[1.0] * 9, [1.0, 1.0, None], [2.0]]):
        study.ask()
        for epoch, loss in enumerate(losses, 1):
            study.report(number, metrics(epoch, 0.1 * epoch, gap=0.05, loss=loss))
    study.store.close()
    curves = read_curves(tmp_path / "run")
    assert curves.val.shape == (3, 9)
    assert curves.val[0] == pytest.approx(0.1 * np.arange(1, 10))
    assert curves.val[2] == pytest.approx([0.1] * 9)
    assert [curves.metrics(1, epoch).train_loss for epoch in (2, 3)] == [1.0, None]
    assert curves.metrics(1, 1).gap == pytest.approx(0.05)
    assert curves.epoch_s == pytest.approx([1.5] * 3)


def test_a_run_without_epochs_has_no_curves(tmp_path):
    study = open_study(tmp_path / "run")
    study.store.write_manifest({"sessions": []})
    study.store.close()
    with pytest.raises(CurvesError, match="must hold trained epochs"):
        read_run_curves(tmp_path / "run")
