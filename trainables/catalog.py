"""Lists the networks that a configuration can name, with facts that need no torch."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkFacts:
    """These facts describe one network.

    stages: names of the stages in forward order, without the head.
    stage_gmacs: cost of each stage's forward pass in 10⁹ multiply-adds for one 224×224 image with
    the 7×7 stem, as torch's `FlopCounterMode` counts them. The cost is proportional to the number
    of pixels.
    parameters: number of parameters in 10⁶, for 1,000 classes.
    activations: how many numbers, in 10⁶, the forward pass of the same image stores for the
    backward pass, as autograd's hooks count them. They are proportional to the number of pixels
    too.
    pretrained: whether weights trained on ImageNet exist.
    dense_gmacs: cost of the dense layers in 10⁹ multiply-adds, which doesn't depend on the image's
    size.
    stems: the kinds of first layer that the network can have; `imagenet` is the network's own.
    """

    stages: tuple[str, ...]
    stage_gmacs: tuple[float, ...]
    parameters: float
    activations: float
    pretrained: bool
    dense_gmacs: float = 0.0
    stems: tuple[str, ...] = ("imagenet",)


STEMS = ("imagenet", "small")
"""A network's first layers are of one of these kinds, see `TrialConfig.stem`."""


_STEM_GMACS = {"imagenet": 0.118, "small": 0.087}
"""The first convolution of a ResNet has this cost at 224 px, in 10⁹ multiply-adds."""


def _resnet(
    *layer_gmacs: float, parameters: float, activations: float, pretrained: bool = True
) -> NetworkFacts:
    """Returns the facts about a ResNet; all of them have the same stages and kinds of stem."""
    return NetworkFacts(
        stages=("stem", "layer1", "layer2", "layer3", "layer4"),
        stage_gmacs=(_STEM_GMACS["imagenet"], *layer_gmacs),
        parameters=parameters,
        activations=activations,
        pretrained=pretrained,
        stems=STEMS,
    )


NETWORKS: dict[str, NetworkFacts] = {
    "resnet10": _resnet(
        0.2312, 0.1798, 0.1798, 0.1798, parameters=5.42, activations=4.09, pretrained=False
    ),
    "resnet18": _resnet(0.4624, 0.411, 0.411, 0.411, parameters=11.69, activations=5.62),
    "resnet34": _resnet(0.6936, 0.8735, 1.3359, 0.6423, parameters=21.8, activations=8.18),
    "resnet50": _resnet(0.6679, 1.0276, 1.4643, 0.8092, parameters=25.56, activations=21.84),
    "resnet101": _resnet(0.6679, 1.0276, 5.1766, 0.8092, parameters=44.55, activations=32.39),
    "efficientnet_lite0": NetworkFacts(
        stages=("stem", *(f"block{number}" for number in range(1, 8)), "conv_head"),
        stage_gmacs=(0.0108, 0.01, 0.0549, 0.0379, 0.0435, 0.086, 0.0912, 0.0294, 0.0201),
        parameters=4.65,
        activations=20.59,
        pretrained=True,
        dense_gmacs=0.0013,
    ),
    "mini_alexnet": NetworkFacts(
        stages=("conv1", "conv2", "conv3", "conv4", "conv5"),
        stage_gmacs=(0.0434, 0.2312, 0.2312, 0.4624, 0.2312),
        parameters=5.55,
        activations=12.78,
        pretrained=False,
        dense_gmacs=0.0052,
    ),
    "wide_concat": NetworkFacts(
        stages=("stem", "stage1", "stage2", "stage3", "stage4"),
        stage_gmacs=(0.0108, 0.5973, 0.5973, 0.5973, 0.6551),
        parameters=4.96,
        activations=12.99,
        pretrained=False,
    ),
}
"""This table gives the facts about each network by name."""

_SMALL_STEM_PIXELS = 16
"""With the small stem, the later stages see this many times as many pixels.

The small stem has no stride and no pooling, so the side of their input is 4 times as long.
"""


LIBRARIES = ("timm:", "torchvision:")
"""The name of a network from a library begins with one of these prefixes.

This module knows nothing else about such a network.
"""


def is_external(network: str) -> bool:
    """Returns whether `network` names a library's network, for example `timm:convnext_atto`."""
    return network.startswith(LIBRARIES)


def needs_package(network: str) -> bool:
    """Returns whether building the network can fail, because it needs a package or a name in
    one.
    """
    return is_external(network) or network == "efficientnet_lite0"


def parameters(network: str) -> float | None:
    """Returns the number of the network's parameters for 1,000 classes.

    Returns `None` for a library's network.
    """
    return None if is_external(network) else NETWORKS[network].parameters * 1e6


def activation_count(network: str, image_size: int, stem: str) -> float | None:
    """Returns how many numbers one image's forward pass stores for the backward pass.

    With the small stem, the result is up to twice too large: unlike the 7×7 stem, this stem has no
    maps of twice the side before a pooling. Returns `None` for a library's network.

    image_size: side of the image in pixels.
    stem: one of `STEMS`.
    """
    if is_external(network):
        return None
    pixels = (image_size / 224) ** 2 * (_SMALL_STEM_PIXELS if stem == "small" else 1)
    return NETWORKS[network].activations * 1e6 * pixels


def forward_gmacs(network: str, image_size: int, stem: str) -> float | None:
    """Returns the cost of one image's forward pass in 10⁹ multiply-adds (±2 %, for 1,000 classes).

    Returns `None` for a library's network, whose cost isn't known without torch.

    image_size: side of the image in pixels.
    stem: one of `STEMS`.
    """
    if is_external(network):
        return None
    stages = sum(_stage_gmacs(network, stem)) * (image_size / 224) ** 2
    return stages + (NETWORKS[network].dense_gmacs if stem == "imagenet" else 0.0)


def frozen_share(network: str, stem: str, freeze_depth: int) -> float:
    """Returns which share of a forward pass's multiply-adds the first `freeze_depth` stages have,
    without the head; 0 for a library's network, whose cost isn't known without torch.
    """
    if is_external(network):
        return 0.0
    stages = _stage_gmacs(network, stem)
    return sum(stages[:freeze_depth]) / sum(stages)


def _stage_gmacs(network: str, stem: str) -> tuple[float, ...]:
    """Returns the cost of each stage at 224 px, as `NetworkFacts.stage_gmacs` does."""
    first, *later = NETWORKS[network].stage_gmacs
    if stem == "imagenet":
        return first, *later
    return _STEM_GMACS[stem], *(each * _SMALL_STEM_PIXELS for each in later)


def network_rules(c: Any) -> list[tuple[bool, str, str]]:
    """Returns rules for the `TrialConfig` `c` that only some of `NETWORKS` have, each with
    whether the configuration follows it, the field's name, and what the field must be.
    """
    facts = NETWORKS.get(c.network)
    if facts is None:
        return []
    return [
        (c.freeze_depth <= len(facts.stages), "freeze_depth",
         f"must lie in 0…{len(facts.stages)} for {c.network} ({', '.join(facts.stages)})"),
        (c.stem in facts.stems or c.stem not in STEMS, "stem",
         f"must be imagenet for {c.network}, whose first layer is its own"),
        (c.weights != "imagenet" or facts.pretrained, "weights",
         f"must be none or a file for {c.network}, which has no ImageNet weights"),
    ]  # fmt: skip
