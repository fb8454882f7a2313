"""The networks of every space, found by itself: they build, and all but what is frozen trains."""

from functools import cache

import pytest
import torch

from search.proposing import Proposer
from search.space import find, names
from trainables import networks
from trainables.config import TrialConfig
from trainables.optim import make_optimizer
from trainables.train import new_network, train_step

CLASSES, SIDE, BATCH = 5, 32, 4
CPU = torch.device("cpu")


@cache
def samples(name: str) -> list[TrialConfig]:
    """The baseline and 99 random configurations."""
    return Proposer(find(name), {}, 3).preview(100)[0]


@pytest.mark.parametrize("name", names())
def test_every_architecture_that_is_sampled_builds(name):
    kinds = {(c.network, c.stem, c.head_width): c for c in samples(name)}
    depths = {c.freeze_depth for c in samples(name)}
    for config in kinds.values():
        with torch.device("meta"):  # shapes only
            network = networks.build(config, CLASSES)
            images = torch.zeros(BATCH, 3, SIDE, SIDE)
        assert network(images).shape == (BATCH, CLASSES)
        for depth in depths:
            networks.freeze(network, depth)
            assert len(network.frozen_stages()) == depth


def with_another_freeze_depth(name: str) -> TrialConfig | None:
    """The first sample that freezes more or less than the baseline, where any does."""
    baseline, *others = samples(name)
    return next((c for c in others if c.freeze_depth != baseline.freeze_depth), None)


STEPPED = [
    pytest.param(config.but(weights="none", precision="float32"), id=f"{name}-{kind}")
    for name in names()
    for kind, config in (
        ("baseline", find(name).baseline),
        ("sampled", with_another_freeze_depth(name)),
    )
    if config is not None
]


@pytest.mark.parametrize("config", STEPPED)
def test_one_step_changes_exactly_what_is_not_frozen(config):
    network = new_network(config, CLASSES, CPU).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    loss = train_step(
        network,
        make_optimizer(network, config),
        torch.randn(BATCH, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last),
        torch.arange(BATCH),
        config,
    )
    changed = {
        name
        for name, tensor in network.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert loss.isfinite()
    assert changed == set(network.trained_state())
    assert trained == changed & {name for name, _ in network.named_parameters()}
    frozen = list(network.stages)[: config.freeze_depth]
    assert {n.split(".")[1] for n in set(before) - changed} == set(frozen)


def test_depths_differ_where_they_are_searched():
    stepped = {name for name in names() if with_another_freeze_depth(name) is not None}
    assert {"resnet18", "resnet50", "resnet50_cifar100", "efficientnet_lite0"} <= stepped
