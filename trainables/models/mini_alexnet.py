"""The five-convolution network of a published 20-class project, from its description."""

from collections import OrderedDict

from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.models.base import NetworkParts
from trainables.models.local_response_norm import LocalResponseNorm

SIDE = 8
"""Of the last map at 64 px, for which the first dense layer is laid out."""


def make_parts(config: TrialConfig, num_classes: int) -> NetworkParts:
    """Convolutions 32, 64, 128, 128, 64, then dense layers 1024 and 512, each with dropout.

    With `head_width` the second dropout comes after that layer, not before it.

    Every convolution is a stage with the normalisation and pooling that follow it. The dense
    layers belong to the head: they hold 94 % of the parameters, and always train. Other inputs
    than 64 px have their last map averaged to 8×8, or repeated up to it; at 64 px that is nothing.
    """
    stages = OrderedDict[str, nn.Module](
        conv1=_stage(3, 32, normed=True, pooled=True),
        conv2=_stage(32, 64, normed=True, pooled=True),
        conv3=_stage(64, 128),
        conv4=_stage(128, 128),
        conv5=_stage(128, 64, pooled=True),
    )
    neck = OrderedDict[str, nn.Module](
        pool=_PoolTo(SIDE),
        flatten=nn.Flatten(1),
        dense1=nn.Linear(64 * SIDE * SIDE, 1024),
        relu1=nn.ReLU(inplace=True),
        dropout1=nn.Dropout(config.dropout),
        dense2=nn.Linear(1024, 512),
        relu2=nn.ReLU(inplace=True),
    )
    fc = nn.Linear(512, num_classes)
    for part in (*stages.values(), *neck.values(), fc):
        part.apply(_initialise)
    return NetworkParts(stages=stages, neck=neck, fc=fc)


def _initialise(module: nn.Module) -> None:
    """Keras' defaults: Glorot and Bengio's uniform weights (2010), no biases.

    With PyTorch's, a third as large in variance, the published training doesn't begin: the
    signal fades over eight layers without normalisation, and the loss stays at ln(20).
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class _PoolTo(nn.AdaptiveAvgPool2d):
    """Costs nothing where the map has its size already."""

    def forward(self, features: Tensor) -> Tensor:
        return features if features.shape[-1] == self.output_size else super().forward(features)


def _stage(before: int, after: int, *, normed: bool = False, pooled: bool = False) -> nn.Module:
    layers = OrderedDict[str, nn.Module](
        conv=nn.Conv2d(before, after, kernel_size=3, padding=1), relu=nn.ReLU()
    )
    if normed:
        layers["norm"] = LocalResponseNorm()
    if pooled:
        layers["pool"] = nn.MaxPool2d(2)
    return nn.Sequential(layers)
