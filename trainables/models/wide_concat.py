"""Builds a wide residual network whose blocks concatenate earlier features instead of adding them.

The publication states four facts: the network trains from scratch; its number of channels grows
exponentially with depth; a bottleneck follows after a number of layers; residual blocks concatenate
earlier features. This project chose everything else, so that an epoch stays affordable on a CPU:
the pre-activation block of wide residual networks (Zagoruyko & Komodakis 2016), two 3×3
convolutions, with its shortcut concatenated as in DenseNet (Huang et al. 2017); two blocks a stage;
widths of 32, 64, 128 and 256, doubled from stage to stage as the side is halved, so that each stage
costs the same; a first convolution of stride 2. The network has 4.4 million parameters, and costs
0.20·10⁹ multiply-adds at 64 px.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from trainables.models.base import NetworkParts

WIDTH = 32
"""The first stage has this many channels."""

_STAGES = 4
"""The network has this many stages after its stem."""
_BLOCKS = 2
"""Each stage has this many blocks."""


def make_parts(num_classes: int) -> NetworkParts:
    """Builds the stem and four stages, each with `_BLOCKS` blocks and a bottleneck."""
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
    """A `ConcatBlock` maps (B, before, H, W) to (B, before + width, H, W).

    The output is the input, followed by what two convolutions compute from it.
    """

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, width, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Returns the features, followed by `width` channels computed from them."""
        new = self.conv1(self.norm1(features).relu_())
        new = self.conv2(self.norm2(new).relu_())
        return torch.cat([features, new], dim=1)


def _stage(width: int, *, pooled: bool) -> nn.Module:
    """Returns a stage that maps (B, width, H, W) to (B, 2 · width, H / 2, W / 2).

    Averaging and a 1×1 convolution commute; averaging first makes the bottleneck a quarter as
    expensive.

    pooled: whether the stage halves height and width; otherwise they stay as they are.
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
