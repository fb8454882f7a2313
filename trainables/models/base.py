"""Defines the parts of an architecture, which `trainables.models.network.build` puts together."""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.errors import UserError


class NetworkError(UserError):
    """This error says that a network can't be built here; its message says why and what to do."""


class WeightsError(UserError):
    """This error says that pretrained weights can't be had or don't fit; its message names
    remedies.
    """


class LastLayer(nn.Linear):
    """A `LastLayer` is a dense layer that computes in float32 on a GPU, whatever autocast says.

    Logits in bfloat16 have 8 significant bits, so several classes often share the highest one; the
    order in which a GPU's kernel looks at them would then decide which is the guess.
    """

    def __init__(self, source: nn.Linear) -> None:
        has_bias = source.bias is not None
        super().__init__(source.in_features, source.out_features, bias=has_bias, device="meta")
        self.weight, self.bias = source.weight, source.bias

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the base class's name
        """Returns (B, out_features) for (B, in_features)."""
        if input.device.type != "cuda":
            return super().forward(input)
        with torch.autocast("cuda", enabled=False):
            return super().forward(input.float())


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkParts:
    """A `NetworkParts` holds an architecture's modules before they form a network.

    stages: modules in forward order, from float (B, 3, S, S) to maps.
    neck: modules that turn maps into vectors.
    fc: the architecture's own last layer, which says how long the neck's vectors are.
    """

    stages: "OrderedDict[str, nn.Module]"
    neck: "OrderedDict[str, nn.Module]"
    fc: nn.Linear
