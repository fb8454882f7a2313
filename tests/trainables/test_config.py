"""Configurations check themselves, and say everything that is wrong at once."""

import math
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from trainables.catalog import NETWORKS, forward_gmacs
from trainables.config import ConfigError, TrialConfig
from trainables.networks import build


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "resnet19"}, "network must be one of"),
        ({"image_size": 31}, "image_size must lie in 32…224 pixels, but got image_size=31."),
        ({"image_size": 64.0}, "image_size must be a whole number"),
        ({"normalise": "tanh"}, "normalise must be one of dataset, half, imagenet, unit"),
        ({"stem": "large"}, "stem must be one of"),
        ({"stem": "small", "weights": "imagenet"}, "stem must be imagenet when"),
        ({"weights": ""}, "weights must be none"),
        ({"network": "resnet10", "weights": "imagenet"}, "no ImageNet weights"),
        ({"freeze_depth": 6}, "freeze_depth must lie in 0…5"),
        ({"network": "wide_concat", "stem": "small"}, "stem must be imagenet for wide_concat"),
        ({"network": "mini_alexnet", "weights": "imagenet"}, "no ImageNet weights"),
        ({"network": "efficientnet_lite0", "freeze_depth": 10}, "must lie in 0…9"),
        ({"head_width": -1}, "head_width must lie in 0…8192 (0: none), but got head_width=-1."),
        ({"freeze_depth": True}, "freeze_depth must be a whole number"),
        ({"dropout": 1.0}, "dropout must lie in [0, 1)"),
        ({"label_smoothing": -0.1}, "label_smoothing must lie"),
        ({"mixup_alpha": -1}, "mixup_alpha must be ≥ 0"),
        ({"cutout": 1}, "cutout must lie"),
        ({"crop": 0.6}, "crop must lie"),
        ({"flip": 1}, "flip must be true or false"),
        ({"optimizer": "lion"}, "optimizer must be one of adam, adamw, sgd"),
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
        ({"schedule": "cyclical", "cycles": 0}, "cycles must be ≥ 1"),
        ({"schedule": "linear"}, "schedule must be one of"),
        ({"warmup_epochs": 31}, "warmup_epochs must lie in 0…epochs"),
        ({"warmup_epochs": 1, "schedule": "one-cycle"}, "which warms up by itself"),
        ({"step_epochs": 0}, "step_epochs must be ≥ 1"),
        ({"step_factor": 0}, "step_factor must lie in (0, 1]"),
        ({"batch_size": 1}, "batch_size must be ≥ 2"),
        ({"micro_batch_size": 1}, "micro_batch_size must lie in 2…batch_size=64"),
        ({"micro_batch_size": 65}, "but got micro_batch_size=65."),
        ({"micro_batch_size": 8.0}, "micro_batch_size must be a whole number"),
        ({"epochs": 0}, "epochs must be ≥ 1"),
        ({"seed": -1}, "seed must be ≥ 0"),
        ({"precision": "float16"}, "precision must be one of"),
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
    left_out = {"momentum", "policy_magnitude", "cycles", "micro_batch_size"}
    assert not left_out & plain.keys()
    chosen = {"optimizer": "sgd", "momentum": 0.9, "policy": "rand", "policy_magnitude": 5}
    assert TrialConfig.from_dict(plain | chosen).to_dict() == plain | chosen


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
    counted = 0

    def count(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal counted
        weight: torch.Tensor = module.weight  # type: ignore[assignment]
        counted += weight.numel() * (output[0, 0].numel() if output.ndim == 4 else 1)

    with torch.device("meta"):
        network = build(config, num_classes=1000).eval()
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(count)
        network(torch.zeros(1, 3, side, side))
    assert tuple(network.stages) == NETWORKS[name].stages
    assert counted / 1e9 == pytest.approx(forward_gmacs(name, side, stem), rel=0.02)
