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

SMALL_STEM_COST = 16.0
"""A 3×3 stride-1 stem without pooling leaves 4× the side, so 16× the pixels, to every stage."""


def forward_gmacs(network: str, image_size: int, stem: str) -> float:
    """Cost of one image's forward pass in 10⁹ multiply-adds (an estimate: ±10 %)."""
    scale = SMALL_STEM_COST if stem == "small" else 1.0
    return NETWORKS[network].gmacs * (image_size / 224) ** 2 * scale
