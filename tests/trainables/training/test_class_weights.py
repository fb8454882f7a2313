"""Weights and losses by hand, and what a training makes of each epoch's recall."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from datasets.access import open_final_data, open_search_data
from trainables.config import TrialConfig
from trainables.train import train
from trainables.training import step as training
from trainables.training.class_weights import ClassWeights, weighted_loss, weights_for
from trainables.training.evaluate import Evaluator

CPU = torch.device("cpu")
CONFIG = TrialConfig(
    network="resnet10",
    image_size=32,
    batch_size=16,
    epochs=3,
    lr=3e-4,
    class_weighting=1.0,
    precision="float32",
)


@pytest.mark.parametrize(
    ("recall", "strength", "expected"),
    [
        ((1.0, 0.0), 1.0, (0.1 / 0.6, 1.1 / 0.6)),
        ((1.0, 0.0, None), 1.0, (0.1 / 0.6, 1.1 / 0.6, 1.0)),
        ((1.0, 0.0, 0.5), 2.0, (0.01 / 1.58 * 3, 1.21 / 1.58 * 3, 0.36 / 1.58 * 3)),
        ((1.0, 1.0), 1.0, (1.0, 1.0)),
        ((0.3, 0.9, 0.7), 0.0, (1.0, 1.0, 1.0)),
    ],
)
def test_weights_by_hand(
    recall: tuple[float | None, ...], strength: float, expected: tuple[float, ...]
) -> None:
    torch.testing.assert_close(weights_for(recall, strength), torch.tensor(expected))


def test_they_begin_equal_and_survive_a_state() -> None:
    weights = ClassWeights(1.0, 2, CPU)
    assert weights.weights.tolist() == [1, 1]
    weights.update((1.0, 0.0))
    restored = ClassWeights(1.0, 2, CPU)
    restored.load_state_dict(weights.state_dict())
    assert torch.equal(restored.weights, weights.weights)


def test_a_weighted_loss_by_hand() -> None:
    """Two images, both with p = 1/2, 1/4, 1/4; weights 2, 1/2, 1/2."""
    logits = torch.tensor([0.5, 0.25, 0.25]).log().expand(2, 3)
    weights = torch.tensor([2.0, 0.5, 0.5])
    low, high = math.log(2), math.log(4)
    loss = weighted_loss(logits, torch.tensor([0, 1]), weights, 0.0)
    assert loss.item() == pytest.approx((2 * low + 0.5 * high) / 2)
    mixed = torch.tensor([[0.5, 0.5, 0], [0, 0.25, 0.75]])
    loss = weighted_loss(logits, mixed, weights, 0.0)
    assert loss.item() == pytest.approx((0.5 * 2 * low + 0.5 * 0.5 * high + 0.5 * high) / 2)
    loss = weighted_loss(logits, torch.tensor([0, 0]), weights, 0.3)
    assert loss.item() == pytest.approx(0.8 * 2 * low + 0.1 * 0.5 * high + 0.1 * 0.5 * high)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_equal_weights_are_none(smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 3, generator=generator)
    labels = torch.arange(8) % 3
    mixed = torch.randn(8, 3, generator=generator).softmax(1)
    for targets in (labels, mixed):
        expected = cross_entropy(logits, targets, label_smoothing=smoothing)
        found = weighted_loss(logits, targets, torch.ones(3), smoothing)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("changes", [{}, {"mixup_alpha": 0.5, "cutmix_alpha": 0.5, "ema": 0.9}])
@pytest.mark.parametrize("final", [False, True])
def test_each_epoch_is_weighed_by_the_recall_before_it(
    tiny_data: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], final: bool
) -> None:
    """That of val, or in final training that of the clean sample of train."""
    config = CONFIG.but(**changes)
    data = open_final_data(tiny_data) if final else open_search_data(tiny_data)
    recalls: list[tuple[float | None, ...]] = []
    used: list[Tensor] = []
    step, evaluated = training.train_step, Evaluator.evaluate

    def watched(*arguments: Any) -> Tensor:
        used.append(arguments[5].clone())
        return step(*arguments)

    def evaluating(self: Any, split: Any, **options: Any) -> Any:
        outcome = evaluated(self, split, **options)
        if split.name == ("train_sample" if final else "val"):
            recalls.append(outcome.recall)
        return outcome

    monkeypatch.setattr(training, "train_step", watched)
    monkeypatch.setattr(Evaluator, "evaluate", evaluating)
    epochs = list(train(config, data))
    steps = len(used) // 3
    assert len(epochs) == len(recalls) == 3
    for epoch in range(3):
        expected = weights_for(recalls[epoch - 1], 1.0) if epoch else torch.ones(4)
        for weights in used[epoch * steps : (epoch + 1) * steps]:
            assert torch.equal(weights, expected)
    assert any(weights.std() > 0 for weights in used)
