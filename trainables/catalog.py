"""The networks that a configuration can name: facts about them that need no torch to know."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkFacts:
    """`stages` in forward order, without the head; `gmacs` is the cost of one forward pass.

    `gmacs` is in 10⁹ multiply-adds for one 224×224 image with the 7×7 stem, as torchvision's
    weight metadata and `fvcore` count them; it grows with the number of pixels.
    """

    stages: tuple[str, ...]
    gmacs: float
    pretrained: bool


_RESNET_STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")

NETWORKS: dict[str, NetworkFacts] = {
    "resnet10": NetworkFacts(stages=_RESNET_STAGES, gmacs=0.89, pretrained=False),
    "resnet18": NetworkFacts(stages=_RESNET_STAGES, gmacs=1.81, pretrained=True),
    "resnet34": NetworkFacts(stages=_RESNET_STAGES, gmacs=3.66, pretrained=True),
    "resnet50": NetworkFacts(stages=_RESNET_STAGES, gmacs=4.09, pretrained=True),
    "resnet101": NetworkFacts(stages=_RESNET_STAGES, gmacs=7.80, pretrained=True),
}

_STEM_GMACS = {"imagenet": 0.118, "small": 0.087}
"""The first convolution alone, at 224 px."""

_SMALL_STEM_PIXELS = 16
"""Without stride and pooling the other stages see 4× the side."""


def forward_gmacs(network: str, image_size: int, stem: str) -> float:
    """Cost of one image's forward pass in 10⁹ multiply-adds (±2 %, for 1,000 classes)."""
    stages = NETWORKS[network].gmacs - _STEM_GMACS["imagenet"]
    pixels = _SMALL_STEM_PIXELS if stem == "small" else 1
    return (stages * pixels + _STEM_GMACS[stem]) * (image_size / 224) ** 2
