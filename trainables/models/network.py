"""Networks in named stages, so that the first of them can be frozen."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from typing import Self

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from trainables.catalog import is_external
from trainables.config import TrialConfig
from trainables.models import efficientnet_lite, library, mini_alexnet, resnet, wide_concat
from trainables.models.base import NetworkError, NetworkParts

_ARCHITECTURES: dict[str, Callable[[TrialConfig, int], NetworkParts]] = {
    **dict.fromkeys(resnet.BLOCKS, resnet.make_parts),
    "efficientnet_lite0": lambda _, num_classes: efficientnet_lite.make_parts(num_classes),
    "mini_alexnet": mini_alexnet.make_parts,
    "wide_concat": lambda _, num_classes: wide_concat.make_parts(num_classes),
}

_CLASSES = 10

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

    def has_frozen_features(self) -> bool:
        """Whether `frozen_features` saves work that `classify` needn't do again."""
        return self.frozen > 0

    def depth(self) -> int:
        """How many stages there are."""
        return len(self.stages)

    def frozen_modules(self) -> list[nn.Module]:
        """Everything inside the frozen stages."""
        return [module for stage in self.frozen_stages() for module in stage.modules()]

    def frozen_names(self) -> set[str]:
        """Of the parameters and buffers in the frozen stages."""
        names = list(self.stages)[: self.frozen]
        prefixes = tuple(f"stages.{name}." for name in names)
        return {name for name in self.state_dict() if name.startswith(prefixes)}

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`, but frozen stages stay in evaluation mode."""
        super().train(mode)
        for module in self.frozen_modules():
            module.training = False
        return self

    def frozen_state(self) -> dict[str, Tensor]:
        """Every parameter and buffer in the frozen stages, not copied, by name."""
        frozen = self.frozen_names()
        return {name: tensor for name, tensor in self.state_dict().items() if name in frozen}

    def trained_state(self) -> dict[str, Tensor]:
        """Every parameter and buffer outside the frozen stages, not copied, by name."""
        frozen = self.frozen_names()
        return {name: tensor for name, tensor in self.state_dict().items() if name not in frozen}


class WholeNetwork(Network):
    """A library's network that runs as one, its parts told apart by their names in `stage_of`.

    See `external.External`. Nothing of it runs apart, so frozen outputs can't be kept.
    """

    def __init__(self, found: library.External, head: nn.Module) -> None:
        super().__init__(OrderedDict(), head)
        self.body = found.body
        self.last_layer = found.last
        self._stage_of = found.stage_of

    def depth(self) -> int:
        return 1 + max(self._stage_of.values())

    def frozen_modules(self) -> list[nn.Module]:
        frozen = {name for name, stage in self._stage_of.items() if stage < self.frozen}
        return [module for name, module in self.body.named_modules() if name in frozen]

    def frozen_names(self) -> set[str]:
        names = {f"body.{name}" for name, stage in self._stage_of.items() if stage < self.frozen}
        return names & self.state_dict().keys()

    def has_frozen_features(self) -> bool:
        return False

    def frozen_features(self, images: Tensor) -> Tensor:
        return images

    def classify(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(features))
        return logits


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

    Raises `NetworkError` when it takes a package that isn't installed, or is a library's that
    can't be built.
    """
    if is_external(config.network):
        return _whole(config, library.make_parts(config, num_classes))
    parts = _ARCHITECTURES[config.network](config, num_classes)
    network = Network(parts.stages, _head(parts.neck, parts.fc, config))
    network.compiled = config.compile
    return network


def build_without_values(config: TrialConfig, num_classes: int) -> Network:
    """As `build`, of tensors that have shapes but no values. Raises `NetworkError`."""
    if is_external(config.network):  # some look at values while they are built
        return build(config, num_classes).to("meta")
    with torch.device("meta"):
        return build(config, num_classes)


def _whole(config: TrialConfig, found: library.External) -> WholeNetwork:
    return WholeNetwork(found, _head(OrderedDict(), found.fc, config))


def load_tensors(network: Network, tensors: Mapping[str, Tensor]) -> None:
    """Puts `tensors` into `network` by name, in place; what isn't among them stays."""
    state = OrderedDict(tensors)
    # Versions of its modules, by which some of torchvision's read their tensors.
    state._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
    network.load_state_dict(state, strict=False)


def check(config: TrialConfig) -> Network:
    """The network, `build_without_values`, for checking its weights too.

    Raises `NetworkError` for what `TrialConfig` can't know of it without torch.
    """
    if is_external(config.network):
        found = library.make_parts(config, num_classes=_CLASSES)
        library.check(config, found)
        network: Network = _whole(config, found).to("meta")
    else:
        network = build_without_values(config, num_classes=_CLASSES)
    freeze(network, config.freeze_depth)
    return network


def count_gmacs(config: TrialConfig) -> float:
    """Cost of one image's forward pass in 10⁹ multiply-adds, counted on the way."""
    images = torch.zeros(1, 3, config.image_size, config.image_size, device="meta")
    network = build_without_values(config, num_classes=_CLASSES).eval()
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network(images)
    return float(counter.get_total_flops()) / 2e9  # a multiply-add is two


def _head(neck: "OrderedDict[str, nn.Module]", fc: nn.Linear, config: TrialConfig) -> nn.Sequential:
    """Maps to logits: neck, a dense layer of `head_width` with ReLU, dropout, the last layer."""
    layers, last = OrderedDict(neck), fc
    if config.head_width > 0:
        layers["hidden"] = nn.Linear(fc.in_features, config.head_width)
        layers["hidden_relu"] = nn.ReLU(inplace=True)
        last = nn.Linear(config.head_width, fc.out_features)
    layers["dropout"] = nn.Dropout(config.dropout)
    layers["fc"] = last
    return nn.Sequential(layers)


def freeze(network: Network, depth: int) -> None:
    """Freezes the first `depth` stages in place (0: none), and lets the others train.

    A frozen stage needs no gradient, runs without autograd, keeps its BatchNorm statistics
    (evaluation mode, even after `.train()`), and is absent from `trained_state`. Raises
    `NetworkError` when there are fewer stages.
    """
    if depth > network.depth():
        raise NetworkError(
            f"freeze_depth must lie in 0…{network.depth()}, the number of the network's stages, "
            f"but got freeze_depth={depth}: lower it."
        )
    network.frozen = depth
    frozen = network.frozen_names()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in frozen)
    network.train(network.training)
