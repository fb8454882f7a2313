"""Configurations check themselves, and say everything that is wrong at once."""

import math
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from trainables.catalog import (
    NETWORKS,
    activation_count,
    forward_gmacs,
    frozen_share,
    parameters,
)
from trainables.conditional_fields import CONDITIONAL
from trainables.config import OPTIMIZERS, ConfigError, TrialConfig
from trainables.models.network import build


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "resnet19"}, "network must be one of"),
        ({"image_size": 31}, "image_size must lie in 32…224 pixels, but got image_size=31."),
        ({"image_size": 64.0}, "image_size must be a whole number"),
        ({"normalise": "tanh"}, "normalise must be one of dataset, half, imagenet, unit"),
        ({"stem": "large"}, "stem must be one of"),
        (
            {"stem": "small", "weights": "imagenet"},
            "stem must be imagenet, as by --set stem=imagenet",
        ),
        ({"weights": ""}, "weights must be none"),
        ({"network": "resnet10", "weights": "imagenet"}, "no ImageNet weights"),
        ({"freeze_depth": 6}, "freeze_depth must lie in 0…5"),
        ({"network": "wide_concat", "stem": "small"}, "stem must be imagenet for wide_concat"),
        ({"network": "mini_alexnet", "weights": "imagenet"}, "no ImageNet weights"),
        ({"network": "efficientnet_lite0", "freeze_depth": 10}, "must lie in 0…9"),
        ({"head_width": -1}, "head_width must lie in 0…8192 (0: none), but got head_width=-1."),
        ({"views": 1001}, "views must lie in 0…1000, but got views=1001."),
        ({"freeze_depth": True}, "freeze_depth must be a whole number"),
        ({"dropout": 1.0}, "dropout must lie in [0, 1)"),
        ({"label_smoothing": -0.1}, "label_smoothing must lie"),
        ({"mixup_alpha": -1}, "mixup_alpha must be ≥ 0"),
        ({"cutout": 1}, "cutout must lie"),
        ({"crop": 0.6}, "crop must lie"),
        ({"flip": 1}, "flip must be true or false"),
        ({"optimizer": "lion"}, f"optimizer must be one of {', '.join(OPTIMIZERS)}"),
        ({"lr": 0}, "lr must be > 0, but got lr=0."),
        ({"lr": math.nan}, "lr must be a finite number"),
        ({"lr": None}, "lr must be a finite number"),
        ({"weight_decay": -1}, "weight_decay must be ≥ 0"),
        ({"momentum": 0.9}, "momentum goes with optimizer=sgd only"),
        ({"optimizer": "sgd", "momentum": 1.0}, "momentum must lie in [0, 1)"),
        ({"cutmix_alpha": -1}, "cutmix_alpha must be ≥ 0"),
        ({"policy": "auto"}, "policy must be one of none, rand, trivial"),
        ({"policy_magnitude": 9}, "policy_magnitude goes with policy=rand only"),
        ({"policy": "rand", "policy_magnitude": 31}, "policy_magnitude must lie in 0…30"),
        ({"policy": "rand", "policy_magnitude": 9.5}, "policy_magnitude must be a whole number"),
        ({"ema": 1}, "ema must lie in [0, 1)"),
        ({"class_weighting": -0.5}, "class_weighting must be ≥ 0"),
        ({"cycles": 3}, "cycles goes with schedule=cyclical only"),
        ({"schedule": "cyclical", "cycles": 0}, "cycles must lie in 1…100000"),
        ({"schedule": "linear"}, "schedule must be one of"),
        ({"warmup_epochs": 31}, "warmup_epochs must lie in 0…epochs"),
        ({"warmup_epochs": 1, "schedule": "one-cycle"}, "which warms up by itself"),
        ({"step_epochs": 7}, "step_epochs goes with schedule=step only"),
        ({"step_factor": 0.1}, "step_factor goes with schedule=step only"),
        ({"schedule": "step", "step_epochs": 0}, "step_epochs must lie in 1…100000"),
        ({"schedule": "step", "step_epochs": 2.5}, "step_epochs must be a whole number"),
        ({"schedule": "step", "step_factor": 0}, "step_factor must lie in (0, 1]"),
        ({"batch_size": 1}, "batch_size must lie in 2…65536"),
        ({"micro_batch_size": 1}, "micro_batch_size must lie in 2…65536"),
        ({"micro_batch_size": 8.0}, "micro_batch_size must be a whole number"),
        ({"epochs": 0}, "epochs must lie in 1…100000"),
        ({"seed": -1}, "seed must lie in 0…9223372036854775807"),
        ({"image_size": 10**9}, "image_size must lie in 32…224 pixels"),
        ({"epochs": 10**12}, "epochs must lie in 1…100000"),
        ({"batch_size": 10**9}, "batch_size must lie in 2…65536"),
        ({"micro_batch_size": 65_537}, "micro_batch_size must lie in 2…65536"),
        ({"seed": 2**63}, "seed must lie in 0…9223372036854775807"),
        ({"network": "timm:vit_tiny", "freeze_depth": 10**6}, "freeze_depth must lie in 0…1000"),
        ({"schedule": "cyclical", "cycles": 10**9}, "cycles must lie in 1…100000"),
        ({"schedule": "step", "step_epochs": 10**9}, "step_epochs must lie in 1…100000"),
        ({"precision": "float64"}, "precision must be one of"),
    ],
)
def test_a_broken_rule_is_one_sentence(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TrialConfig(**{"network": "resnet18", **changes})
    (sentence,) = caught.value.errors
    assert message in sentence
    assert sentence.endswith(".")


def test_all_errors_come_at_once_and_survive_a_process_border() -> None:
    with pytest.raises(ConfigError) as caught:
        TrialConfig.from_dict({"network": "resnet18", "lr": -1, "dropout": 2, "optimiser": "adam"})
    assert len(caught.value.errors) == 3
    assert "did you mean optimizer?" in caught.value.errors[0]
    assert pickle.loads(pickle.dumps(caught.value)).errors == caught.value.errors


def test_from_dict_needs_a_network() -> None:
    with pytest.raises(ConfigError, match=r"network must be one of .* but it is missing"):
        TrialConfig.from_dict({"lr": 0.1})


_BUILDS = ((224, "imagenet"), (64, "imagenet"), (64, "small"))


def test_what_does_not_count_is_not_written() -> None:
    plain = TrialConfig(network="resnet18").to_dict()
    assert not (CONDITIONAL.keys() | {"micro_batch_size"}) & plain.keys()
    chosen = {"optimizer": "sgd", "momentum": 0.9, "policy": "rand", "policy_magnitude": 5}
    assert TrialConfig.from_dict(plain | chosen).to_dict() == plain | chosen


@pytest.mark.parametrize(
    ("name", "documented"),
    [("momentum", 0.0), ("policy_magnitude", 9), ("cycles", 1), ("step_epochs", 7),
     ("step_factor", 0.1)],
)  # fmt: skip
def test_what_is_left_out_counts_as_documented_where_it_counts(
    name: str, documented: float
) -> None:
    owner, value = CONDITIONAL[name]
    beside = TrialConfig(network="resnet18").but(**{owner: value})
    assert (getattr(beside, name), beside.effective_value(name)) == (None, documented)
    assert getattr(beside.with_defaults(), name) == documented
    assert TrialConfig(network="resnet18").effective_value(name) is None


def test_a_record_of_an_older_version_is_read() -> None:
    """Which wrote the fields of the schedule `step` beside every other too."""
    older = {"network": "resnet18", "step_epochs": 7, "step_factor": 0.1}
    assert TrialConfig.from_record(older) == TrialConfig(network="resnet18")
    assert TrialConfig.from_record(older | {"schedule": "constant"}).step_epochs is None
    stepped = TrialConfig.from_record(older | {"schedule": "step", "step_epochs": 3})
    assert (stepped.step_epochs, stepped.step_factor) == (3, 0.1)
    with pytest.raises(ConfigError, match="goes with schedule=step only"):
        TrialConfig.from_dict(older)
    with pytest.raises(ConfigError, match="lr must be > 0"):
        TrialConfig.from_record(older | {"lr": -1})


def test_a_configuration_survives_a_dict_and_a_pickle() -> None:
    config = TrialConfig(network="resnet50", lr=0.1, optimizer="sgd", momentum=0.9)
    assert TrialConfig.from_dict(config.to_dict()) == config
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize(
    ("name", "side", "stem"),
    [
        (name, side, stem)
        for name, facts in NETWORKS.items()
        for side, stem in _BUILDS
        if stem in facts.stems
    ],
)
def test_the_catalog_knows_the_stages_and_what_they_cost(name: str, side: int, stem: str) -> None:
    """Multiply-adds of every convolution and dense layer, from the shapes that pass through."""
    config = TrialConfig(network=name, image_size=side, stem=stem)
    costs = list[int]()

    def count(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        weight: torch.Tensor = module.weight  # type: ignore[assignment]
        costs[-1] += weight.numel() * (output[0, 0].numel() if output.ndim == 4 else 1)

    with torch.device("meta"):
        network = build(config, num_classes=1000).eval()
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(count)
        images = torch.zeros(1, 3, side, side)
        for stage in (*network.stages.values(), network.head):
            costs.append(0)
            images = stage(images)
    assert tuple(network.stages) == NETWORKS[name].stages
    assert sum(each.numel() for each in network.parameters()) == pytest.approx(
        parameters(name), rel=0.01
    )
    assert sum(costs) / 1e9 == pytest.approx(forward_gmacs(name, side, stem), rel=0.02)
    *stages, _ = costs
    for depth in range(len(stages) + 1):
        share = sum(stages[:depth]) / sum(stages)
        assert share == pytest.approx(frozen_share(name, stem, depth), abs=0.01)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_catalog_knows_what_the_backward_pass_needs(name: str) -> None:
    """Of two images of 64 px: every tensor that autograd saves, once, without the weights."""
    network = build(TrialConfig(network=name), num_classes=1000).train()
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = {tensor.untyped_storage().data_ptr() for tensor in network.state_dict().values()}
    saved: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    images = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logits = network(images)
    assert logits.requires_grad
    numbers = sum(saved.values()) / 4 / len(images)
    assert numbers == pytest.approx(activation_count(name, 64, "imagenet"), rel=0.05)
