"""Stages that freeze: exactly the others move."""

import pytest
import torch
from torch import Tensor

from trainables.config import TrialConfig
from trainables.models.network import Network, build, freeze
from trainables.training.optimizer import make_optimizer
from trainables.training.step import train_step

CONFIG = TrialConfig(network="resnet10", image_size=32, precision="float32", weight_decay=0.1)


def trained_on_noise(network: Network, steps: int = 2) -> set[str]:
    """The names of the tensors that a few steps changed."""
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = make_optimizer(network, CONFIG)
    generator = torch.Generator().manual_seed(1)
    network.train()
    for _ in range(steps):
        images = torch.randn(8, 3, 32, 32, generator=generator)
        labels = torch.randint(5, (8,), generator=generator)
        train_step(network, optimizer, images, labels, CONFIG)
    after = network.state_dict()
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


@pytest.mark.parametrize("depth", [0, 2, 5])
def test_exactly_the_unfrozen_tensors_move(depth: int) -> None:
    network = build(CONFIG, num_classes=5)
    freeze(network, depth)
    names = list(network.stages)[depth:]
    expected = {
        name
        for name in network.state_dict()
        if name.startswith((*(f"stages.{stage}." for stage in names), "head."))
    }
    assert trained_on_noise(network) == expected == set(network.trained_state())


def test_thawing_lets_everything_move_again() -> None:
    network = build(CONFIG, num_classes=5)
    freeze(network, 5)
    freeze(network, 0)
    assert trained_on_noise(network) == set(network.state_dict())


def test_frozen_stages_build_no_graph() -> None:
    network = build(CONFIG, num_classes=5)
    freeze(network, 5)
    kept: list[Tensor] = []
    network.head.dropout.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    logits = network.train()(torch.randn(2, 3, 32, 32))
    assert logits.requires_grad
    assert not kept[0].requires_grad


@pytest.mark.parametrize(("stem", "side"), [("imagenet", 1), ("small", 4)])
def test_side_of_the_last_feature_map(stem: str, side: int) -> None:
    network = build(CONFIG.but(stem=stem), num_classes=5).eval()
    features = torch.zeros(1, 3, 32, 32)
    for stage in network.stages.values():
        features = stage(features)
    assert features.shape == (1, 512, side, side)


def test_dropout_acts_in_training_only() -> None:
    network = build(CONFIG.but(dropout=0.5), num_classes=5)
    freeze(network, 5)
    images = torch.randn(4, 3, 32, 32)
    network.eval()
    assert torch.equal(network(images), network(images))
    network.train()
    assert not torch.equal(network(images), network(images))


def test_the_same_seed_builds_the_same_network() -> None:
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(build(CONFIG, num_classes=5).state_dict()["stages.layer4.0.conv1.weight"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
