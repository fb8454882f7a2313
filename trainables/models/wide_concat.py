"""A wide residual network whose blocks concatenate what came before instead of adding it.

Published are four facts: trained from scratch; channels grow exponentially with depth; a
bottleneck follows after a number of layers; residual blocks concatenate earlier features.
Everything else is this project's choice, so that an epoch stays affordable on a CPU: the
pre-activation block of wide residual networks (Zagoruyko & Komodakis 2016), two 3×3
convolutions, with its shortcut concatenated as in DenseNet (Huang et al. 2017); two blocks a
stage; widths 32, 64, 128, 256, doubled from stage to stage as the side is halved, so that each
stage costs the same; a first convolution of stride 2. 4.4 million parameters, 0.20·10⁹
multiply-adds at 64 px.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from trainables.models.base import NetworkParts

WIDTH = 32
"""Channels of the first stage."""

_STAGES = 4
_BLOCKS = 2


def make_parts(num_classes: int) -> NetworkParts:
    """Stem, then four stages of `_BLOCKS` blocks and a bottleneck each."""
    stem = nn.Conv2d(3, WIDTH, kernel_size=3, stride=2, padding=1, bias=False)
    stages = OrderedDict[str, nn.Module](stem=stem)
    for number in range(_STAGES):
        stages[f"stage{number + 1}"] = _stage(WIDTH << number, pooled=number < _STAGES - 1)
    features = WIDTH << _STAGES
    neck = OrderedDict[str, nn.Module](
        norm=nn.BatchNorm2d(features),
        relu=nn.ReLU(inplace=True),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(1),
    )
    for stage in (stem, *stages.values()):
        for module in stage.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return NetworkParts(stages=stages, neck=neck, fc=nn.Linear(features, num_classes))


class ConcatBlock(nn.Module):
    """(B, before, H, W) -> (B, before + width, H, W): the input, and what two layers see in it."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, width, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        new = self.conv1(self.norm1(features).relu_())
        new = self.conv2(self.norm2(new).relu_())
        return torch.cat([features, new], dim=1)


def _stage(width: int, *, pooled: bool) -> nn.Module:
    """(B, width, H, W) -> (B, 2 · width, H / 2, W / 2), or H and W where it isn't pooled.

    Averaging and a 1×1 convolution commute: averaging first makes the bottleneck a quarter as
    expensive.
    """
    layers = OrderedDict[str, nn.Module]()
    channels = width
    for number in range(_BLOCKS):
        layers[f"block{number + 1}"] = ConcatBlock(channels, width)
        channels += width
    layers["norm"] = nn.BatchNorm2d(channels)
    layers["relu"] = nn.ReLU(inplace=True)
    if pooled:
        layers["pool"] = nn.AvgPool2d(2)
    layers["bottleneck"] = nn.Conv2d(channels, 2 * width, kernel_size=1, bias=False)
    return nn.Sequential(layers)
