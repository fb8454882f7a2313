"""No step and no evaluation batch makes the host wait, on tensors of a fake GPU."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.loading.loader import Batches
from datasets.splits import Images, Split
from tests.trainables.training.fake_gpu import CUDA, Waits, fake_gpu
from trainables.augmentation.batch import for_training
from trainables.config import TrialConfig
from trainables.models.network import Network, build
from trainables.models.setup import prepare_network
from trainables.training import checkpoint
from trainables.training.auxiliary_state import AuxiliaryState
from trainables.training.batches import BatchFeeder
from trainables.training.evaluate import Evaluator
from trainables.training.optimizer import make_optimizer, set_lr
from trainables.training.step import train_step

IMAGES = Images(
    fingerprint="", class_ids=("a", "b", "c", "d"), class_names=("a", "b", "c", "d"), size=32,
    mean=(0.48, 0.45, 0.4), std=(0.27, 0.27, 0.28), white=None,
)  # fmt: skip
ALL = TrialConfig(
    network="resnet10", image_size=48, batch_size=8, flip=True, crop=0.1, cutout=0.3,
    mixup_alpha=0.2, cutmix_alpha=1.0, policy="trivial", ema=0.9, class_weighting=1.0,
    label_smoothing=0.1, dropout=0.1, micro_batch_size=4, precision="bfloat16",
)  # fmt: skip


def fake_network(config: TrialConfig) -> Network:
    with CUDA:
        network = build(config, 4)
    return prepare_network(network, config, CUDA).train()


def fake_batch(count: int = 8) -> tuple[Tensor, Tensor]:
    pixels = torch.zeros((count, 32, 32, 3), dtype=torch.uint8, device=CUDA)
    return pixels, torch.zeros(count, dtype=torch.int64, device=CUDA)


def backward(self: Tensor, gradient: Tensor) -> None:
    """Stands for autograd's engine, which needs a real GPU."""


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"policy": "rand", "cutmix_alpha": 0.0, "micro_batch_size": None},
        {"policy": "none", "mixup_alpha": 0.0, "precision": "float32", "freeze_depth": 2},
        {"policy": "none", "precision": "float16", "freeze_depth": 2},
        {"network": "mini_alexnet", "image_size": 64},
    ],
)
def test_a_step_with_all_regularisers(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """The first step may copy its constants. The second one copies nothing, reads nothing, and has
    no operation whose shape depends on values, as a CUDA graph would need.
    """
    config = ALL.but(**changes)
    monkeypatch.setattr(Tensor, "backward", backward)
    with fake_gpu(monkeypatch):
        network = fake_network(config)
        optimizer = make_optimizer(network, config)
        auxiliary = AuxiliaryState.begin(config, network, 4, CUDA)
        total = torch.zeros((), dtype=torch.float64, device=CUDA)
        for step in range(2):
            pixels, labels = fake_batch()
            with Waits() as waits:
                set_lr(optimizer, 0.1 * step)
                batch, targets = for_training(pixels, labels, config, IMAGES)
                assert tuple(batch.shape) == (8, 3, config.image_size, config.image_size)
                for weight in network.parameters():
                    weight.grad = torch.zeros_like(weight) if weight.requires_grad else None
                monkeypatch.setattr(optimizer, "zero_grad", lambda: None)
                total += train_step(
                    network, optimizer, batch, targets, config,
                    auxiliary.loss_weights(), auxiliary.scaler,
                )  # fmt: skip
                auxiliary.after_step()
            assert waits.operations > 100
            assert waits.optimizer_steps == 2  # one for each group of weights
            if step == 0:
                assert all(name.startswith("_to_copy") for name in waits.found)
            else:
                assert waits.found == []
        assert {g["lr"].device.type for g in optimizer.param_groups} == {"cuda"}


class FakeFeeder(BatchFeeder):
    """Feeds three batches of the fake GPU."""

    def batches(self, split: Split, batch_size: int, **_: Any) -> Batches:  # type: ignore[override]
        for _number in range(3):
            yield fake_batch()


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_an_evaluation_batch(monkeypatch: pytest.MonkeyPatch, precision: str, depth: int) -> None:
    """Constants are copied at the first batch; the host reads after the last one."""
    config = ALL.but(precision=precision, freeze_depth=depth)
    with fake_gpu(monkeypatch), torch.no_grad():
        network = fake_network(config)
        split = Split(name="val", beton=None, indices=np.arange(24))  # type: ignore[arg-type]
        evaluator = Evaluator(network, IMAGES, config, FakeFeeder(device=CUDA), cache_bytes=0)
        for _ in range(2):
            with Waits() as waits, pytest.raises(Exception, match=r"_local_scalar_dense|item"):
                evaluator.evaluate(split)
            assert waits.operations > 100
        assert waits.found == []


def test_a_checkpoint_is_copied_without_a_wait_for_each_tensor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pinned: list[bool] = []
    empty_like = torch.empty_like

    def without_pinning(tensor: Tensor, *, pin_memory: bool = False, **how: Any) -> Tensor:
        """Pinned memory needs a real GPU."""
        pinned.append(pin_memory)
        return empty_like(tensor, **how)

    with fake_gpu(monkeypatch):
        network = fake_network(ALL)
        optimizer = make_optimizer(network, ALL)
        monkeypatch.setattr(torch, "empty_like", without_pinning)
        with Waits() as waits:
            content = checkpoint.snapshot(network, optimizer, [], "")
        assert waits.found == []
        assert {t.device.type for t in content["network"].values()} == {"cpu"}
        rates = len(optimizer.param_groups)
        assert pinned == [True] * (len(content["network"]) + rates)


def test_the_record_of_waits_knows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_gpu(monkeypatch), Waits() as waits:
        values = torch.zeros(4, device=CUDA)
        torch.tensor([1.0, 2.0]).to(CUDA)
        torch.tensor([1.0, 2.0]).to(CUDA, non_blocking=True)
        assert waits.found == ["_to_copy.default"]
        with pytest.raises(Exception, match=r"_local_scalar_dense|item"):
            float(values.sum())
        values.masked_fill_(values > 0, 1)
        assert len(waits.found) == 1


def test_logits_on_a_gpu_are_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_gpu(monkeypatch), torch.no_grad(), torch.autocast("cuda", dtype=torch.bfloat16):
        network = fake_network(ALL)
        features = network.frozen_features(torch.zeros(2, 3, 48, 48, device=CUDA))
        assert network.stages["stem"](features).dtype == torch.bfloat16
        assert network.classify(features).dtype == torch.float32
