"""Divides torchvision's ResNets into stages, with its building blocks and its initialisation."""

from collections import OrderedDict

from torch import nn

from trainables.catalog import NETWORKS
from trainables.config import TrialConfig
from trainables.models.base import NetworkParts
from trainables.torchvision_import import BasicBlock, Bottleneck, ResNet

BLOCKS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], list[int]]] = {
    "resnet10": (BasicBlock, [1, 1, 1, 1]),
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
    "resnet101": (Bottleneck, [3, 4, 23, 3]),
}
"""This table gives each ResNet's kind of block, and how many blocks its layers 1 to 4 have."""


def make_parts(config: TrialConfig, num_classes: int) -> NetworkParts:
    """Builds the ResNet that `config` names, with its stem.

    Keras counts layers where this project counts stages: «unfrozen from the 143rd layer on» of its
    ResNet50 is `freeze_depth=4`. `layers[143]`, counted from 0, is the first convolution of
    `conv5_block1` (the stem has 7 layers, conv2 32, conv3 42, conv4 62), which is `layer4` here.

    With `head_width=1024` and 100 classes, ResNet-50 has 25,708,708 parameters. Keras' network with
    the published 25,788,388 is the same: the difference is 26,560 biases of convolutions, which the
    BatchNorm after them cancels, and 53,120 running means and variances, which are buffers here.
    """
    block, depths = BLOCKS[config.network]
    source = ResNet(block, depths, num_classes=num_classes)
    stem = _small_stem(source) if config.stem == "small" else _imagenet_stem(source)
    stages: OrderedDict[str, nn.Module] = OrderedDict(stem=stem)
    for name in NETWORKS[config.network].stages[1:]:
        stages[name] = getattr(source, name)
    neck = OrderedDict[str, nn.Module](pool=source.avgpool, flatten=nn.Flatten(1))
    return NetworkParts(stages=stages, neck=neck, fc=source.fc)


def our_name(name: str) -> str:
    """Translates torchvision's name of a tensor of a ResNet to its name in `network.Network`."""
    part, _, _ = name.partition(".")
    if part in ("conv1", "bn1"):
        return f"stages.stem.{name}"
    if part == "fc":
        return f"head.{name}"
    return f"stages.{name}" if part.startswith("layer") else name


def _imagenet_stem(source: ResNet) -> nn.Module:
    """Returns torchvision's own stem: 7×7 stride 2, then pooling."""
    return nn.Sequential(
        OrderedDict(conv1=source.conv1, bn1=source.bn1, relu=source.relu, maxpool=source.maxpool)
    )


def _small_stem(source: ResNet) -> nn.Module:
    """Returns a 3×3 stem of stride 1 without pooling.

    He et al. 2016, section 4.2, use this stem in their CIFAR variant.
    """
    conv = nn.Conv2d(3, source.conv1.out_channels, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(OrderedDict(conv1=conv, bn1=source.bn1, relu=source.relu))
