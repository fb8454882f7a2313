"""Builds networks in named stages, so that the first stages can be frozen."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from itertools import islice, takewhile
from typing import Self

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from trainables.catalog import is_external
from trainables.config import TrialConfig
from trainables.models import efficientnet_lite, library, mini_alexnet, resnet, wide_concat
from trainables.models.base import LastLayer, NetworkError, NetworkParts
from trainables.models.batch_counters import BatchCounters
from trainables.models.stage_runs import compiled_run, run

_ARCHITECTURES: dict[str, Callable[[TrialConfig, int], NetworkParts]] = {
    **dict.fromkeys(resnet.BLOCKS, resnet.make_parts),
    "efficientnet_lite0": lambda _, num_classes: efficientnet_lite.make_parts(num_classes),
    "mini_alexnet": mini_alexnet.make_parts,
    "wide_concat": lambda _, num_classes: wide_concat.make_parts(num_classes),
}
"""This table gives the function that builds the parts of each architecture."""

_CLASSES = 10
"""Networks that are built for checking or counting have this many classes."""


class Network(nn.Module):
    """A `Network` runs stages one after the other, then a head: float (B, 3, S, S) to logits (B,
    classes).

    frozen: how many stages, from the first on, don't train; see `freeze`.
    fixed_layers: how many layers of the head, from the first on, run with the frozen stages.
    compiled: whether training runs the stages through `torch.compile`.
    counters: the counters of BatchNorm layers that train, see `freeze`.
    folded_stages: the frozen stages as they run faster, see `setup`; may be empty.
    folded_type: the type of their weights; they run under autocast only unless it is float32.
    """

    def __init__(self, stages: "OrderedDict[str, nn.Module]", head: nn.Sequential) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(stages)
        self.head = head
        self.frozen = 0
        self.fixed_layers = 0
        self.compiled = False
        self.counters = BatchCounters()
        self.folded_stages: list[nn.Module] = []  # a list isn't part of the network's state
        self.folded_type = torch.float32

    def frozen_stages(self) -> list[nn.Module]:
        """Returns the stages that don't train, in forward order."""
        return list(self.stages.values())[: self.frozen]

    def trained_stages(self) -> list[nn.Module]:
        """Returns the stages that train, in forward order."""
        return list(self.stages.values())[self.frozen :]

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (B, classes) for float (B, 3, S, S)."""
        return self.forward_features(self.frozen_features(images))

    def forward_features(self, features: Tensor) -> Tensor:
        """Returns what `forward` does, for the result of `frozen_features`."""
        with self.counters.together() if self.training else nullcontext():
            return self.classify(features)

    def frozen_features(self, images: Tensor) -> Tensor:
        """Returns the frozen stages' outputs for float (B, 3, S, S), without autograd: maps (B, C,
        H, W), or with `fixed_layers` what these make of them.
        """
        half, kind = self.folded_type != torch.float32, images.device.type
        fit = self.folded_stages and (not half or torch.is_autocast_enabled(kind))
        stages = self.folded_stages if fit else self.frozen_stages()
        with torch.no_grad():
            return run(islice(self.head, self.fixed_layers), self._run(stages, images))

    def classify(self, features: Tensor) -> Tensor:
        """Returns logits (B, classes) for the result of `frozen_features`."""
        maps = self._run(self.trained_stages(), features)
        return run(islice(self.head, self.fixed_layers, None), maps)

    def _run(self, stages: list[nn.Module], features: Tensor) -> Tensor:
        """Runs `features` through the stages: compiled code in training if the network is
        compiled.
        """
        # Evaluation isn't compiled, because its smaller last batch would be compiled again. Nor is
        # the head, because dropout's probability would become part of the compiled code.
        execute = compiled_run() if self.compiled and self.training and stages else run
        return execute(stages, features)

    def has_frozen_features(self) -> bool:
        """Returns whether `frozen_features` does work that `classify` needn't repeat."""
        return self.frozen > 0

    def depth(self) -> int:
        """Returns how many stages the network has, frozen or not."""
        return len(self.stages)

    def frozen_modules(self) -> list[nn.Module]:
        """Returns all modules inside the frozen stages."""
        return [module for stage in self.frozen_stages() for module in stage.modules()]

    def frozen_names(self) -> set[str]:
        """Returns the names of the parameters and buffers in the frozen stages."""
        names = list(self.stages)[: self.frozen]
        prefixes = tuple(f"stages.{name}." for name in names)
        return {name for name in self.state_dict() if name.startswith(prefixes)}

    def train(self, mode: bool = True) -> Self:
        """Sets the mode as `nn.Module.train` does, but frozen stages stay in evaluation mode."""
        super().train(mode)
        for module in self.frozen_modules():
            module.training = False
        return self

    def frozen_state(self) -> dict[str, Tensor]:
        """Returns every parameter and buffer in the frozen stages by name, not copied."""
        frozen = self.frozen_names()
        return {name: tensor for name, tensor in self.state_dict().items() if name in frozen}

    def hash_frozen_state(self, digest: "hashlib._Hash") -> None:
        """Adds the content of the frozen stages to a hash."""
        for tensor in self.frozen_state().values():
            digest.update(tensor.cpu().numpy().tobytes())

    def trained_state(self) -> dict[str, Tensor]:
        """Returns every parameter and buffer outside the frozen stages by name, not copied."""
        frozen = self.frozen_names()
        return {name: tensor for name, tensor in self.state_dict().items() if name not in frozen}


class LibraryNetwork(Network):
    """A `LibraryNetwork` consists of a library's network, which runs as a whole, and a head.

    The names of the network's parts assign them to stages, see `library.LibraryParts`. No stage
    runs alone, so outputs of frozen stages can't be stored.
    """

    def __init__(self, parts: library.LibraryParts, head: nn.Sequential) -> None:
        super().__init__(OrderedDict(), head)
        self.body = parts.body
        self.last_layer = parts.last
        self._stage_of = parts.stage_of

    def depth(self) -> int:
        """Returns how many stages the network has, frozen or not."""
        return 1 + max(self._stage_of.values())

    def frozen_modules(self) -> list[nn.Module]:
        """Returns all modules that belong to frozen stages."""
        frozen = {name for name, stage in self._stage_of.items() if stage < self.frozen}
        return [module for name, module in self.body.named_modules() if name in frozen]

    def frozen_names(self) -> set[str]:
        """Returns the names of the parameters and buffers that belong to frozen stages."""
        names = {f"body.{name}" for name, stage in self._stage_of.items() if stage < self.frozen}
        return names & self.state_dict().keys()

    def has_frozen_features(self) -> bool:
        """Returns false, because no stage runs alone."""
        return False

    def frozen_features(self, images: Tensor) -> Tensor:
        """Returns the images themselves, because no stage runs alone."""
        return images

    def classify(self, features: Tensor) -> Tensor:
        """Returns logits (B, classes) for images, float (B, 3, S, S)."""
        logits: Tensor = self.head(self.body(features))
        return logits


def build(config: TrialConfig, num_classes: int) -> Network:
    """Builds the network that `config` describes, with random weights from torch's global
    generator.

    Raises `NetworkError` if the network needs a package that isn't installed, or is a library's
    network that can't be built.
    """
    if is_external(config.network):
        return _assemble_library_network(config, library.make_parts(config, num_classes))
    parts = _ARCHITECTURES[config.network](config, num_classes)
    network = Network(parts.stages, _head(parts.neck, parts.fc, config))
    network.compiled = config.compile
    return network


def build_without_values(config: TrialConfig, num_classes: int) -> Network:
    """Builds the network like `build`, with tensors that have shapes but no values.

    Raises `NetworkError` in the same cases.
    """
    if is_external(config.network):  # some networks need values while they are built
        return build(config, num_classes).to("meta")
    with torch.device("meta"):
        return build(config, num_classes)


def _assemble_library_network(config: TrialConfig, parts: library.LibraryParts) -> LibraryNetwork:
    """Returns a library's network with the head that `config` describes."""
    return LibraryNetwork(parts, _head(OrderedDict(), parts.fc, config))


def load_tensors(network: Network, tensors: Mapping[str, Tensor]) -> None:
    """Copies `tensors` into `network` by name, in place; its other tensors stay as they are."""
    state = OrderedDict(tensors)
    # The metadata holds the modules' versions, which some of torchvision's modules need to load.
    state._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
    network.load_state_dict(state, strict=False)


def check(config: TrialConfig) -> Network:
    """Checks the rules that `TrialConfig` can't know without torch, and returns the network.

    The network is frozen and has no values; the caller may check its weights next. Raises
    `NetworkError` for a broken rule.
    """
    if is_external(config.network):
        parts = library.make_parts(config, num_classes=_CLASSES)
        library.check(config, parts)
        network: Network = _assemble_library_network(config, parts).to("meta")
    else:
        network = build_without_values(config, num_classes=_CLASSES)
    freeze(network, config.freeze_depth)
    return network


def count_gmacs(config: TrialConfig) -> float:
    """Returns the cost of one image's forward pass in 10⁹ multiply-adds, counted during a pass."""
    images = torch.zeros(1, 3, config.image_size, config.image_size, device="meta")
    network = build_without_values(config, num_classes=_CLASSES).eval()
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network(images)
    return float(counter.get_total_flops()) / 2e9  # a multiply-add counts as two operations


def _head(neck: "OrderedDict[str, nn.Module]", fc: nn.Linear, config: TrialConfig) -> nn.Sequential:
    """Returns the layers from maps to logits.

    These are the neck, a dense layer of `head_width` with ReLU, dropout, and the last layer.
    """
    layers, last = OrderedDict(neck), fc
    if config.head_width > 0:
        layers["hidden"] = nn.Linear(fc.in_features, config.head_width)
        layers["hidden_relu"] = nn.ReLU(inplace=True)
        last = nn.Linear(config.head_width, fc.out_features)
    layers["dropout"] = nn.Dropout(config.dropout)
    layers["fc"] = LastLayer(last)
    return nn.Sequential(layers)


def freeze(network: Network, depth: int) -> None:
    """Freezes the first `depth` stages in place (0: none), and lets the others train.

    A frozen stage needs no gradient, runs without autograd, keeps its BatchNorm statistics (it is
    in evaluation mode, even after `.train()`), and is absent from `trained_state`. Raises
    `NetworkError` if there are fewer stages.
    """
    if depth > network.depth():
        raise NetworkError(
            f"freeze_depth must lie in 0…{network.depth()}, the number of the network's stages, "
            f"but got freeze_depth={depth}: lower it."
        )
    network.frozen, network.folded_stages = depth, []
    whole = network.has_frozen_features() and depth == network.depth()
    network.fixed_layers = sum(1 for _ in takewhile(_is_fixed, network.head)) if whole else 0
    fixed = set(network.frozen_modules())
    network.counters = BatchCounters(m for m in network.modules() if m not in fixed)
    frozen = network.frozen_names()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in frozen)
    network.train(network.training)


def _is_fixed(layer: nn.Module) -> bool:
    """Returns whether a layer has nothing to learn, and gives equal outputs for equal inputs."""
    draws = any(isinstance(module, nn.Dropout) for module in layer.modules())
    return not draws and not layer.state_dict()
