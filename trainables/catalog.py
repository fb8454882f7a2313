"""The networks that a configuration can name: facts about them that need no torch to know."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkFacts:
    """`stages` in forward order, without the head; `gmacs` is the cost of one forward pass.

    `gmacs` is in 10⁹ multiply-adds for one 224×224 image with the 7×7 stem, as torchvision's
    weight metadata and `fvcore` count them; it grows with the number of pixels, but for
    `dense_gmacs`, those of dense layers. `stems` are the kinds of first layer it can be built
    with; `imagenet` is the network's own. `parameters` are counted in 10⁶, for 1,000 classes;
    `kept` are the numbers, in 10⁶ for the same image, that its forward pass keeps for the
    backward one, as autograd's hooks see them; they too grow with the number of pixels.
    """

    stages: tuple[str, ...]
    gmacs: float
    parameters: float
    kept: float
    pretrained: bool
    dense_gmacs: float = 0.0
    stems: tuple[str, ...] = ("imagenet",)


STEMS = ("imagenet", "small")

_RESNET_STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")

NETWORKS: dict[str, NetworkFacts] = {
    "resnet10": NetworkFacts(
        stages=_RESNET_STAGES, gmacs=0.89, parameters=5.42, kept=4.09, pretrained=False, stems=STEMS
    ),
    "resnet18": NetworkFacts(
        stages=_RESNET_STAGES, gmacs=1.81, parameters=11.69, kept=5.62, pretrained=True, stems=STEMS
    ),
    "resnet34": NetworkFacts(
        stages=_RESNET_STAGES, gmacs=3.66, parameters=21.8, kept=8.18, pretrained=True, stems=STEMS
    ),
    "resnet50": NetworkFacts(
        stages=_RESNET_STAGES,
        gmacs=4.09,
        parameters=25.56,
        kept=21.84,
        pretrained=True,
        stems=STEMS,
    ),
    "resnet101": NetworkFacts(
        stages=_RESNET_STAGES,
        gmacs=7.80,
        parameters=44.55,
        kept=32.39,
        pretrained=True,
        stems=STEMS,
    ),
    "efficientnet_lite0": NetworkFacts(
        stages=("stem", *(f"block{number}" for number in range(1, 8)), "conv_head"),
        gmacs=0.384,
        parameters=4.65,
        kept=20.59,
        pretrained=True,
        dense_gmacs=0.0013,
    ),
    "mini_alexnet": NetworkFacts(
        stages=("conv1", "conv2", "conv3", "conv4", "conv5"),
        gmacs=1.205,
        parameters=5.55,
        kept=12.78,
        pretrained=False,
        dense_gmacs=0.0052,
    ),
    "wide_concat": NetworkFacts(
        stages=("stem", "stage1", "stage2", "stage3", "stage4"),
        gmacs=2.457,
        parameters=4.96,
        kept=12.99,
        pretrained=False,
    ),
}

_STEM_GMACS = {"imagenet": 0.118, "small": 0.087}
"""The first convolution alone, at 224 px."""

_SMALL_STEM_PIXELS = 16
"""Without stride and pooling the other stages see 4× the side."""


LIBRARIES = ("timm:", "torchvision:")
"""What the name of a network from a library begins with; nothing else is known of it here."""


def is_external(network: str) -> bool:
    """Whether `network` names a library's, as `timm:convnext_atto`."""
    return network.startswith(LIBRARIES)


def takes_a_package(network: str) -> bool:
    """Whether building it can fail where something isn't installed, or has no such name."""
    return is_external(network) or network == "efficientnet_lite0"


def parameters(network: str) -> float | None:
    """How many it has, for 1,000 classes; `None` for a library's network."""
    return None if is_external(network) else NETWORKS[network].parameters * 1e6


def kept_numbers(network: str, image_size: int, stem: str) -> float | None:
    """How many one image's forward pass keeps for the backward one; `None` as `parameters`.

    For the small stem up to twice too many: it has no maps of twice the side before its pooling.
    """
    if is_external(network):
        return None
    pixels = (image_size / 224) ** 2 * (_SMALL_STEM_PIXELS if stem == "small" else 1)
    return NETWORKS[network].kept * 1e6 * pixels


def forward_gmacs(network: str, image_size: int, stem: str) -> float | None:
    """Cost of one image's forward pass in 10⁹ multiply-adds (±2 %, for 1,000 classes).

    `None` for a library's network, which isn't known without torch.
    """
    if is_external(network):
        return None
    facts, growth = NETWORKS[network], (image_size / 224) ** 2
    if stem == "imagenet":
        return facts.gmacs * growth + facts.dense_gmacs
    stages = (facts.gmacs - _STEM_GMACS["imagenet"]) * _SMALL_STEM_PIXELS
    return (stages + _STEM_GMACS[stem]) * growth
