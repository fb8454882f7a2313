"""The loop: equal seeds give equal numbers, resuming too, and it learns what is there."""

import math
import threading
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets.access import open_final_data, open_search_data
from datasets.splits import FinalData, SearchData
from results.records import EpochMetrics
from trainables import train as training
from trainables.config import ConfigError, TrialConfig
from trainables.models.setup import new_network
from trainables.train import train
from trainables.training import checkpoint_writer, step
from trainables.training.checkpoint import CheckpointError, read_history
from trainables.training.epoch import PauseError

pytestmark = pytest.mark.usefixtures("narrow_resnets")

CPU = torch.device("cpu")
CONFIG = TrialConfig(
    network="resnet10",
    image_size=32,
    batch_size=16,
    epochs=3,
    lr=2e-3,
    flip=True,
    crop=0.1,
    cutout=0.25,
    mixup_alpha=0.3,
    dropout=0.2,
    label_smoothing=0.1,
    weight_decay=0.01,
    precision="float32",
)
PLAIN = TrialConfig(network="resnet10", image_size=32, batch_size=8, lr=2e-3, precision="float32")
CLOCK = ("images_per_s", "train_s", "wall_s", "start_s", "idle_s", "loading_s", "peak_memory_bytes")


@pytest.fixture
def data(tiny_data: Path) -> SearchData:
    return open_search_data(tiny_data)


@pytest.fixture
def final_data(tiny_data: Path) -> FinalData:
    return open_final_data(tiny_data)


def numbers(epochs: list[EpochMetrics]) -> list[dict[str, Any]]:
    """Everything but the clock and memory."""
    return [{k: v for k, v in asdict(e).items() if k not in CLOCK} for e in epochs]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_seed_gives_equal_numbers_and_another_does_not(
    data: SearchData, precision: str
) -> None:
    few = replace(data.train, indices=data.train.indices[:32])  # many CPUs emulate bfloat16
    config, data = CONFIG.but(precision=precision, epochs=2), replace(data, train=few)
    first, again = list(train(config, data)), list(train(config, data))
    assert numbers(first) == numbers(again)
    other = list(train(config.but(seed=1), data))
    assert first[0].train_loss != other[0].train_loss


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adamw"},
        {"optimizer": "sgd", "momentum": 0.9, "freeze_depth": 3, "ema": 0.9, "policy": "rand"},
        {"class_weighting": 1.0, "cutmix_alpha": 1.0, "policy": "trivial", "lr": 3e-4, "ema": 0.5},
    ],
)
def test_resuming_gives_the_numbers_of_not_stopping(
    data: SearchData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(checkpoint_writer, "SAVE_EVERY_S", 0.0)
    config = CONFIG.but(**changes)
    whole = list(train(config, data))
    path = tmp_path / "trial.pt"
    for done in (0, 1):
        epochs = train(config, data, path if done else None, checkpoint=path)
        told = [next(epochs), next(epochs)]  # asking for the second saves the first
        epochs.close()  # type: ignore[attr-defined]
        assert numbers(told) == numbers(whole[done : done + 2])
        assert numbers(read_history(path)) == numbers(whole[: done + 1])
        torch.manual_seed(done)
    rest = list(train(config, data, path, checkpoint=path))
    assert numbers(rest) == numbers(whole[2:])
    assert numbers(read_history(path)) == numbers(whole)
    assert list(train(config, data, path)) == []


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9}, {"precision": "bfloat16"}])
def test_a_training_that_pauses_after_any_step_goes_on_to_the_same_numbers(
    data: SearchData, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Each pauses when it is asked the second time: within each epoch, and after each but one."""
    config, path = CONFIG.but(**changes), tmp_path / "trial.pt"
    whole = list(train(config, data))
    epochs: list[EpochMetrics] = []
    pauses = []
    for _ in range(9):
        asked = iter([False, True])
        running = train(
            config, data, path if pauses else None, checkpoint=path, stop=partial(next, asked)
        )
        try:
            epochs += [each for each in running if each.epoch > len(epochs)]
            break
        except PauseError as paused:
            epochs = read_history(path)
            pauses.append(str(paused))
            torch.manual_seed(99)
    assert numbers(epochs) == numbers(whole)
    assert pauses == [
        "is saved after step 2 of epoch 1",
        "is saved after epoch 1",
        "is saved after step 2 of epoch 2",
        "is saved after epoch 2",
        "is saved after step 2 of epoch 3",
    ]


def test_long_epochs_are_saved_within(
    data: SearchData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill leaves it: nobody has asked for a pause."""
    monkeypatch.setattr(checkpoint_writer, "SAVE_WITHIN_S", 0.0)
    path = tmp_path / "trial.pt"
    whole = list(train(CONFIG, data))
    calls = []

    def interrupt() -> bool:
        calls.append(True)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        list(train(CONFIG, data, checkpoint=path, stop=interrupt))
    saved = torch.load(path, weights_only=True)
    assert (len(saved["history"]), saved["partial"]["step"]) == (1, 2)
    assert numbers(list(train(CONFIG, data, path))) == numbers(whole[1:])


@pytest.mark.parametrize("state", [{}, {"step": 0, "loss": 0.0, "generators": []}, 3])
def test_a_damaged_part_of_an_epoch_is_refused(
    data: SearchData, tmp_path: Path, state: object
) -> None:
    path = tmp_path / "trial.pt"
    with pytest.raises(PauseError):
        list(train(PLAIN, data, checkpoint=path, stop=lambda: True))
    torch.save(torch.load(path, weights_only=True) | {"partial": state}, path)
    with pytest.raises(CheckpointError, match="is damaged"):
        next(train(PLAIN, data, path))


def test_what_happens_between_epochs_changes_nothing(data: SearchData) -> None:
    calm = list(train(CONFIG, data))
    disturbed = []
    for metrics in train(CONFIG, data):
        disturbed.append(metrics)
        torch.manual_seed(99)
        np.random.rand(5)
    assert numbers(calm) == numbers(disturbed)


def test_it_learns_separable_classes(data: SearchData) -> None:
    last = list(train(PLAIN.but(epochs=4), data))[-1]
    assert last.train_top1 > 0.9
    assert last.val_top1 is not None
    assert last.val_top1 > 0.7
    assert last.val_top5 == 1.0
    assert last.gap == last.train_top1 - last.val_top1


def test_frozen_stages_keep_every_byte(data: SearchData) -> None:
    config = CONFIG.but(freeze_depth=3, epochs=1)
    network = new_network(config, 4, CPU)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    list(train(config, data, network=network))
    same = {n for n, t in network.state_dict().items() if torch.equal(t, before[n])}
    frozen = ("stages.stem.", "stages.layer1.", "stages.layer2.")
    assert same == {name for name in before if name.startswith(frozen)}


def test_label_smoothing_has_the_closed_forms_loss(data: SearchData) -> None:
    """A head of zeros gives every class 1/4, so ln 4; a bias b on all makes no difference."""
    config = PLAIN.but(epochs=1, batch_size=72, lr=1e-12, label_smoothing=0.3, freeze_depth=5)
    network = new_network(config, 4, CPU)
    bias = torch.tensor([2.0, 0.0, 0.0, 0.0])
    with torch.no_grad():
        network.head.fc.weight.zero_()  # type: ignore[union-attr]
        network.head.fc.bias.copy_(bias)  # type: ignore[union-attr]
    metrics = next(iter(train(config, data, network=network)))
    log = torch.log_softmax(bias, 0)
    plain = -(log[0] + 3 * log[1]) / 4  # classes are balanced: 18 images each
    spread = -log.mean()
    assert metrics.train_loss == pytest.approx(float(0.7 * plain + 0.3 * spread), rel=1e-5)
    assert metrics.val_loss == pytest.approx(float(plain), rel=1e-5)
    assert metrics.val_top1 == 0.25


def test_lr_and_counts(data: SearchData) -> None:
    epochs = list(train(CONFIG.but(schedule="step", step_epochs=1, step_factor=0.5), data))
    assert [e.lr for e in epochs] == pytest.approx([2e-3, 1e-3, 5e-4])
    assert [e.epoch for e in epochs] == [1, 2, 3]
    for epoch in epochs:
        assert epoch.images_per_s * epoch.train_s == pytest.approx(64)  # 4 × 16 of 72
        assert epoch.wall_s > epoch.train_s > 0
        assert epoch.train_s > (epoch.loading_s or 0) > 0
        assert 50e6 < epoch.peak_memory_bytes < 50e9


def test_a_diverged_loss_is_none_and_the_epoch_goes_on_record(data: SearchData) -> None:
    config = PLAIN.but(optimizer="sgd", lr=1e18, epochs=2, schedule="constant")
    first, second = train(config, data)
    assert first.train_loss is None
    assert second.train_loss is None
    assert second.val_loss is None
    assert second.val_top1 is not None
    assert math.isfinite(second.val_top1)


def test_a_diverged_epoch_is_cut_short(data: SearchData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECK_EVERY", 3)
    config = PLAIN.but(optimizer="sgd", lr=1e18, schedule="constant")
    metrics = next(iter(train(config, data)))
    assert metrics.train_loss is None
    assert metrics.images_per_s * metrics.train_s == pytest.approx(3 * 8)  # of 9 × 8


def test_final_data_has_no_validation(final_data: FinalData) -> None:
    first, second = train(CONFIG.but(epochs=2), final_data)
    for epoch in (first, second):
        assert epoch.val_loss is epoch.val_top1 is epoch.val_top5 is epoch.gap is None
        assert 0 <= epoch.train_top1 <= 1
    assert first.train_loss != second.train_loss


def test_closing_early_leaves_no_thread(data: SearchData) -> None:
    next(train(PLAIN, data))
    before = threading.active_count()
    for _ in range(3):
        epochs = train(PLAIN, data)
        next(epochs)
        epochs.close()  # type: ignore[attr-defined]
    assert threading.active_count() <= before


def test_an_interrupted_epoch_leaves_no_thread(
    data: SearchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    monkeypatch.setattr(step, "train_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(train(PLAIN, data))
    assert threading.active_count() <= before


def test_errors_come_before_any_work(data: SearchData, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size must be ≤ 72") as caught:
        next(train(PLAIN.but(batch_size=73, precision="auto"), data))
    assert len(caught.value.errors) == 2
    with pytest.raises(CheckpointError, match=r"absent\.pt is none"):
        next(train(PLAIN, data, tmp_path / "absent.pt"))
