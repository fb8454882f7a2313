"""What preparing a network for its device changes: speed, and numbers by rounding at most."""

import pytest
import torch

from trainables.config import TrialConfig
from trainables.models.inference import autocast
from trainables.models.network import build, freeze
from trainables.models.setup import HALF_TYPES, new_network, prepare_network
from trainables.models.small_map_conv import SmallMapConv2d

CPU = torch.device("cpu")
CONFIG = TrialConfig(network="resnet10", image_size=32, freeze_depth=3, precision="bfloat16")


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("network", ["resnet10", "mini_alexnet", "wide_concat"])
def test_folded_stages_give_the_same_numbers(network: str, precision: str) -> None:
    config = CONFIG.but(network=network, precision=precision)
    prepared = new_network(config, 4, CPU)
    images = torch.randn(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    copies, prepared.folded_stages = prepared.folded_stages, []
    with autocast(config, CPU):
        expected = prepared.frozen_features(images)
        prepared.folded_stages = copies
        found = prepared.frozen_features(images)
    assert len(copies) == 3
    assert {w.dtype for w in copies[0].parameters() if w.ndim == 4} == {expected.dtype}
    assert found.dtype == expected.dtype == HALF_TYPES.get(precision, torch.float32)
    error = (found.float() - expected.float()).abs().max() / expected.float().abs().max()
    assert error < 8 * torch.finfo(found.dtype).eps


def test_halved_copies_are_used_under_autocast_only_and_are_no_part_of_the_state() -> None:
    prepared = new_network(CONFIG, 4, CPU)
    assert {tensor.dtype for tensor in prepared.state_dict().values()} == {
        torch.float32,
        torch.int64,
    }
    assert prepared.state_dict().keys() == build(CONFIG, 4).state_dict().keys()
    images = torch.randn(2, 3, 32, 32)
    assert prepared.frozen_features(images).dtype == torch.float32
    freeze(prepared, 2)
    assert prepared.folded_stages == []


def test_without_frozen_stages_there_are_no_copies() -> None:
    assert new_network(CONFIG.but(freeze_depth=0), 4, CPU).folded_stages == []


@pytest.mark.parametrize(("device", "replaced"), [("cpu", True), ("meta", False)])
def test_matrix_products_are_for_cpus(device: str, replaced: bool) -> None:
    network = prepare_network(build(CONFIG, 4), CONFIG, torch.device(device))
    assert any(isinstance(m, SmallMapConv2d) for m in network.modules()) == replaced
