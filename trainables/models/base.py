"""Defines the parts of an architecture, which `trainables.models.network.build` puts together."""

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from common.errors import UserError


class NetworkError(UserError):
    """This error says that a network can't be built here; its message says why and what to do."""


class WeightsError(UserError):
    """This error says that pretrained weights can't be had or don't fit; its message names
    remedies.
    """


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
