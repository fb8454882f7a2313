"""Stages whose BatchNorm is part of their convolutions: equal numbers, and what stays unfolded."""

import pytest
import torch
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.models.folding import fold_batch_norms
from trainables.models.network import build

NORMS = {"resnet10": (12, 0), "resnet50": (53, 0), "efficientnet_lite0": (49, 0),
         "mini_alexnet": (0, 0), "wide_concat": (20, 12)}  # fmt: skip
"""How many BatchNorm layers the stages of each network have, before and after."""


def _count_norms(stages: list[nn.Module]) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for each in stages for part in each.modules())


def _randomise(module: nn.Module) -> None:
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
            norm.running_mean = torch.randn(norm.num_features)
            norm.running_var = torch.rand(norm.num_features) + 0.5


@pytest.mark.parametrize("network", NORMS)
def test_folded_stages_give_equal_numbers(network: str) -> None:
    torch.manual_seed(0)
    stages = list(build(TrialConfig(network=network), 4).eval().stages.values())
    for stage in stages:
        _randomise(stage)
    folded = [fold_batch_norms(stage) for stage in stages]
    assert (_count_norms(stages), _count_norms(folded)) == NORMS[network]
    expected = found = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for stage, copy in zip(stages, folded, strict=True):
            expected, found = stage(expected), copy(found)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


class _Shared(nn.Module):
    """Normalises a convolution's output, and uses the output itself too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.conv(maps)
        return maps + self.norm(maps)


@pytest.mark.parametrize(
    "stage", [_Shared(), nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.ReLU())]
)
def test_what_follows_no_convolution_alone_stays(stage: nn.Module) -> None:
    _randomise(stage.eval())
    folded, images = fold_batch_norms(stage), torch.randn(2, 3, 8, 8)
    assert _count_norms([folded]) == 1
    assert torch.equal(folded(images), stage(images))
