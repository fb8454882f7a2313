"""Networks in named stages, so that the first of them can be frozen: torchvision's ResNets."""

from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import Self

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from trainables.catalog import NETWORKS
from trainables.config import TrialConfig

_BLOCKS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], list[int]]] = {
    "resnet10": (BasicBlock, [1, 1, 1, 1]),
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
    "resnet101": (Bottleneck, [3, 4, 23, 3]),
}


_KINDS = 64
"""How many kinds of stages are compiled in one process; further ones run plainly."""


class Network(nn.Module):
    """Stages one after the other, then a head: float (B, 3, S, S) -> logits (B, classes).

    `frozen` counts the stages, from the first on, that don't train: see `freeze`. `compiled`
    makes training run the stages through `torch.compile`.
    """

    def __init__(self, stages: "OrderedDict[str, nn.Module]", head: nn.Module) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(stages)
        self.head = head
        self.frozen = 0
        self.compiled = False

    def frozen_stages(self) -> list[nn.Module]:
        return list(self.stages.values())[: self.frozen]

    def trained_stages(self) -> list[nn.Module]:
        return list(self.stages.values())[self.frozen :]

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.frozen_features(images))

    def frozen_features(self, images: Tensor) -> Tensor:
        """What the frozen stages make of float (B, 3, S, S), without autograd."""
        with torch.no_grad():
            return self._run(self.frozen_stages(), images)

    def classify(self, features: Tensor) -> Tensor:
        """Logits (B, classes) from the frozen stages' outputs."""
        logits: Tensor = self.head(self._run(self.trained_stages(), features))
        return logits

    def _run(self, stages: list[nn.Module], features: Tensor) -> Tensor:
        # Evaluation stays plain: its last batch is smaller, so it would be compiled anew. So
        # does the head: dropout's probability would be compiled in.
        run = _compiled_run() if self.compiled and self.training and stages else _run
        return run(stages, features)

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`, but frozen stages stay in evaluation mode."""
        super().train(mode)
        for stage in self.frozen_stages():
            stage.eval()
        return self

    def trained_state(self) -> dict[str, Tensor]:
        """Every parameter and buffer outside the frozen stages, not copied, by name."""
        names = list(self.stages)[: self.frozen]
        prefixes = tuple(f"stages.{name}." for name in names)
        return {k: v for k, v in self.state_dict().items() if not k.startswith(prefixes)}


def _run(stages: list[nn.Module], features: Tensor) -> Tensor:
    for stage in stages:
        features = stage(features)
    return features


@cache
def _compiled_run() -> Callable[[list[nn.Module], Tensor], Tensor]:
    """`_run`, compiled for each kind of stages, number of frozen ones and precision it meets.

    A later network of the same kind runs the same code with its own weights. Not yet measured
    on a GPU; on a CPU it takes a minute to compile.
    """
    torch._dynamo.config.recompile_limit = _KINDS
    return torch.compile(_run)


def build(config: TrialConfig, num_classes: int) -> Network:
    """The network that `config` describes, with random weights from torch's global generator.

    Weights are torchvision's to the letter: its building blocks, its initialisation.
    """
    block, depths = _BLOCKS[config.network]
    source = ResNet(block, depths, num_classes=num_classes)
    stem = _small_stem(source) if config.stem == "small" else _imagenet_stem(source)
    stages: OrderedDict[str, nn.Module] = OrderedDict(stem=stem)
    for name in NETWORKS[config.network].stages[1:]:
        stages[name] = getattr(source, name)
    head = OrderedDict[str, nn.Module](
        pool=source.avgpool,
        flatten=nn.Flatten(1),
        dropout=nn.Dropout(config.dropout),
        fc=source.fc,
    )
    network = Network(stages, nn.Sequential(head))
    network.compiled = config.compile
    return network


def freeze(network: Network, depth: int) -> None:
    """Freezes the first `depth` stages in place (0: none), and lets the others train.

    A frozen stage needs no gradient, runs without autograd, keeps its BatchNorm statistics
    (evaluation mode, even after `.train()`), and is absent from `trained_state`.
    """
    network.frozen = depth
    for stage in network.frozen_stages():
        stage.requires_grad_(False)
    for stage in network.trained_stages():
        stage.requires_grad_(True)
    network.train(network.training)


def _imagenet_stem(source: ResNet) -> nn.Module:
    return nn.Sequential(
        OrderedDict(conv1=source.conv1, bn1=source.bn1, relu=source.relu, maxpool=source.maxpool)
    )


def _small_stem(source: ResNet) -> nn.Module:
    """3×3 stride 1 without pooling, as in the CIFAR variant of He et al. 2016, section 4.2."""
    conv = nn.Conv2d(3, source.conv1.out_channels, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(OrderedDict(conv1=conv, bn1=source.bn1, relu=source.relu))
