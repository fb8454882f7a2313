"""Lets all BatchNorm layers of a network count their batches in one operation."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_NAME = "num_batches_tracked"
"""A BatchNorm layer of torch has a counter of this name, and adds 1 to it by itself."""


class BatchCounters:
    """A `BatchCounters` raises the counters of many BatchNorm layers together.

    A GPU takes as long to start the addition of one number as that of a whole layer's maps. A
    network has 20 such layers (ResNet-18) or 53 (ResNet-50). The counters' values stay what torch's
    own additions make them.
    """

    def __init__(self, modules: Iterable[nn.Module] = ()) -> None:
        self._layers = [
            module
            for module in modules
            if isinstance(module, _BatchNorm)
            and module.num_batches_tracked is not None
            and module.momentum is not None  # else the layer averages by its counter
        ]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Raises all counters by 1 after the block, in which the layers see one batch in training
        mode and don't count themselves. After an error, no counter has changed.
        """
        counters: list[Tensor] = [layer._buffers[_NAME] for layer in self._layers]  # type: ignore[misc]
        for layer in self._layers:
            layer._buffers[_NAME] = None
        try:
            yield
        finally:
            for layer, counter in zip(self._layers, counters, strict=True):
                layer._buffers[_NAME] = counter
        if counters:
            torch._foreach_add_(counters, 1)
