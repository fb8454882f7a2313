"""The networks of every space, found by itself: they build, and all but what is frozen trains."""

from functools import cache

import pytest
import torch

from search.config.command_line import resolve
from search.hardware.probe import check_start
from search.planning.plan import make_plan
from search.spaces import find_space, space_names
from search.study.proposer import Proposer
from trainables.config import TrialConfig
from trainables.models import network as networks
from trainables.models.setup import new_network
from trainables.training.optimizer import make_optimizer
from trainables.training.step import train_step

CLASSES, SIDE, BATCH = 5, 32, 4
CPU = torch.device("cpu")


@cache
def samples(name: str) -> list[TrialConfig]:
    """The baseline and 99 random configurations."""
    return Proposer(find_space(name), {}, 3).preview(100)[0]


@pytest.mark.parametrize("name", space_names())
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


@pytest.mark.parametrize("name", space_names())
def test_it_starts_without_pretrained_weights(name, tmp_path):
    options, _ = resolve({"space": name, "out": str(tmp_path), "weights": "none"})
    plan, errors = make_plan(options, resuming=False)
    assert errors == []
    for config in plan.bounds.starting:
        check_start(config)


def stepped(name: str) -> list[TrialConfig]:
    """The baseline and the first sample, one of another freeze depth where any is."""
    baseline, *others = samples(name)
    sample = next((c for c in others if c.freeze_depth != baseline.freeze_depth), others[0])
    return [config.but(weights="none", precision="float32") for config in (baseline, sample)]


@pytest.mark.parametrize("name", space_names())
def test_one_step_changes_exactly_what_is_not_frozen(name):
    for config in stepped(name):
        network = new_network(config, CLASSES, CPU).train()
        before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
        images = torch.randn(BATCH, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
        loss = train_step(
            network, make_optimizer(network, config), images, torch.arange(BATCH), config
        )
        after = network.state_dict()
        same = {key for key, tensor in before.items() if torch.equal(tensor, after[key])}
        frozen = list(network.stages)[: config.freeze_depth]
        assert loss.isfinite()
        assert same == {key for key in before if key.split(".")[1] in frozen}
        assert same == {*before} - {*network.trained_state()}


def test_freeze_depths_differ_where_weights_are_pretrained():
    searched = {name for name in space_names() if len({c.freeze_depth for c in stepped(name)}) == 2}
    assert searched == {
        name for name in space_names() if find_space(name).baseline.weights == "imagenet"
    }
