"""Builds the five-convolution network of a published 20-class project, from its description."""

from collections import OrderedDict

from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.models.base import NetworkParts
from trainables.models.local_response_norm import LocalResponseNorm

SIDE = 8
"""The last map has this side for images of 64 px; the first dense layer expects this size."""


def make_parts(config: TrialConfig, num_classes: int) -> NetworkParts:
    """Builds convolutions of 32, 64, 128, 128 and 64 channels, and dense layers of 1024 and 512.

    Dropout follows each of the dense layers. With `head_width`, the second dropout follows the
    layer of that width instead.

    Each convolution is a stage, together with the normalisation and pooling that follow it. The
    dense layers belong to the head: they hold 94 % of the parameters, and always train. For inputs
    of another size than 64 px, the last map is averaged to 8×8, or repeated up to that size; at 64
    px this changes nothing.
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
    """Initialises a layer as Keras does: Glorot and Bengio's uniform weights (2010), zero biases.

    With PyTorch's weights, whose variance is a third as large, the published training doesn't
    start. The signal then fades over eight layers without normalisation, and the loss stays at
    ln(20).
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class _PoolTo(nn.AdaptiveAvgPool2d):
    """This layer averages a map to a fixed size, and costs nothing if the map has that size
    already.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Returns maps, float (B, C, H, W), averaged or repeated to the layer's fixed size."""
        return features if features.shape[-1] == self.output_size else super().forward(features)


def _stage(before: int, after: int, *, normed: bool = False, pooled: bool = False) -> nn.Module:
    """Returns a 3×3 convolution with ReLU, then normalisation and pooling if they are wanted.

    before, after: numbers of channels.
    """
    layers = OrderedDict[str, nn.Module](
        conv=nn.Conv2d(before, after, kernel_size=3, padding=1), relu=nn.ReLU()
    )
    if normed:
        layers["norm"] = LocalResponseNorm()
    if pooled:
        layers["pool"] = nn.MaxPool2d(2)
    return nn.Sequential(layers)
