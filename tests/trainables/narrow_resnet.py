"""ResNets with an eighth of the channels, for tests that train for real in one process."""

from typing import Any

from torch import nn

from trainables.torchvision_import import BasicBlock, Bottleneck, ResNet


class NarrowResNet(ResNet):
    """Has the layers of the ResNet, after a stem as wide as its own."""

    def __init__(
        self, block: type[BasicBlock | Bottleneck], layers: list[int], num_classes: int
    ) -> None:
        super().__init__(block, layers, num_classes=num_classes)
        self.fc = nn.Linear(self.inplanes, num_classes)

    def _make_layer(self, block: Any, planes: int, *more: Any, **options: Any) -> nn.Sequential:
        return super()._make_layer(block, planes // 8, *more, **options)
