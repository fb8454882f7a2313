"""Networks in named stages, so that the first of them can be frozen."""

from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import Self

import torch
from torch import Tensor, nn

from trainables import efficientnet_lite, mini_alexnet, resnets, wide_concat
from trainables.config import TrialConfig
from trainables.parts import Parts

_ARCHITECTURES: dict[str, Callable[[TrialConfig, int], Parts]] = {
    **dict.fromkeys(resnets.BLOCKS, resnets.parts),
    "efficientnet_lite0": lambda _, num_classes: efficientnet_lite.parts(num_classes),
    "mini_alexnet": mini_alexnet.parts,
    "wide_concat": lambda _, num_classes: wide_concat.parts(num_classes),
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

    Raises `NetworkError` when it takes a package that isn't installed.
    """
    parts = _ARCHITECTURES[config.network](config, num_classes)
    network = Network(parts.stages, _head(parts, config, num_classes))
    network.compiled = config.compile
    return network


def _head(parts: Parts, config: TrialConfig, num_classes: int) -> nn.Sequential:
    """Maps to logits: neck, a dense layer of `head_width` with ReLU, dropout, the last layer."""
    layers, fc = parts.neck, parts.fc
    if config.head_width > 0:
        layers["hidden"] = nn.Linear(fc.in_features, config.head_width)
        layers["hidden_relu"] = nn.ReLU(inplace=True)
        fc = nn.Linear(config.head_width, num_classes)
    layers["dropout"] = nn.Dropout(config.dropout)
    layers["fc"] = fc
    return nn.Sequential(layers)


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
