"""What an architecture is made of before it is put together: see `networks.build`."""

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from common.errors import UserError


class NetworkError(UserError):
    """A network can't be built here; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkParts:
    """`stages` in forward order, float (B, 3, S, S) -> maps; `neck` makes vectors of the maps.

    fc: the architecture's own last layer, which tells how long the neck's vectors are.
    """

    stages: "OrderedDict[str, nn.Module]"
    neck: "OrderedDict[str, nn.Module]"
    fc: nn.Linear
