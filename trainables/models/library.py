"""Builds any network of timm or torchvision by name, and assigns its parts to stages.

Not every network is a chain: a vision transformer adds tokens and positions on its way. So the
library's own forward pass runs as it is, and only names tell the stages apart. Freezing needs no
more, because autograd builds no graph before the first parameter that trains. Dropout inside a
library's network stays as the library sets it.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from common.text import did_you_mean
from trainables.config import TrialConfig
from trainables.models.base import NetworkError
from trainables.models.efficientnet_lite import timm
from trainables.torchvision_import import torchvision

_FEWEST_STAGES = 4
"""A network of torchvision is divided until it has this many stages, if that is possible."""
ONLY_WEIGHTS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""This environment variable is torch's; it overrides what a library passes to `torch.load`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LibraryParts:
    """A `LibraryParts` holds a library's network and what is known of its structure.

    body: the network without its last layer; it returns float (B, fc.in_features).
    stage_of: the number of the stage of each module, parameter and buffer, by name. What has no
    stage always trains.
    fc: the last layer, with random weights for the wanted number of classes.
    last: the library's name for its last layer, in whose place `fc` is.
    """

    body: nn.Module
    stage_of: dict[str, int]
    fc: nn.Linear
    last: str


def make_parts(config: TrialConfig, num_classes: int) -> LibraryParts:
    """Builds the network that `config` names, which must be a library's.

    Raises `NetworkError` for an unknown name, a missing package, and a network that refuses the
    image size or has no stages.
    """
    library, _, name = config.network.partition(":")
    make = _timm_parts if library == "timm" else _torchvision_parts
    _check_name(library, name)
    try:
        return make(name, num_classes, config.image_size)
    except NetworkError:
        raise
    except Exception as error:  # a network may raise any type
        raise _refusal(config, error) from error


def check(config: TrialConfig, parts: LibraryParts) -> None:
    """Runs two images through the network in training mode, to check output and order of stages.

    Raises `NetworkError` if the pass fails, if the network returns anything but one vector per
    image, or if its stages don't run in order.
    """
    order: list[int] = []
    for name, module in parts.body.named_modules():
        if name in parts.stage_of and any(True for _ in module.parameters(recurse=False)):
            stage = parts.stage_of[name]
            module.register_forward_pre_hook(lambda *_, stage=stage: order.append(stage))
    try:
        features = parts.body.train()(torch.randn(2, 3, config.image_size, config.image_size))
    except Exception as error:
        raise _refusal(config, error) from error
    if not isinstance(features, Tensor) or features.shape != (2, parts.fc.in_features):
        raise NetworkError(
            f"network must give one vector an image, but {config.network} gives something else: "
            "choose another."
        )
    if not order or order != sorted(order):
        raise NetworkError(
            f"network must have stages that run one after the other, but those of "
            f"{config.network} don't: choose another."
        )


def from_timm(network: str, side: int) -> dict[str, Tensor]:
    """Returns timm's default weights without their head, adapted by timm to images of `side`
    pixels.

    They come from timm's cache or Hugging Face's hub, whose errors are raised. Their names are
    those of `network.LibraryNetwork`.
    """
    body = _timm_body(network.removeprefix("timm:"), side, pretrained=True)
    return {f"body.{name}": tensor for name, tensor in body.state_dict().items()}


def from_torchvision(network: str) -> dict[str, Tensor]:
    """Returns torchvision's default weights, after torchvision has renamed the tensors of old
    files.

    They come from torchvision's cache, and their names are torchvision's. Raises torch's error for
    a file that holds more than weights.
    """
    with _weights_only():
        name = network.removeprefix("torchvision:")
        model = torchvision.models.get_model(name, weights="DEFAULT")
    state: dict[str, Tensor] = model.state_dict()
    return state


@contextmanager
def _weights_only() -> Iterator[None]:
    """Makes torch run nothing in a file of weights; torchvision doesn't request this itself."""
    before = os.environ.get(ONLY_WEIGHTS)
    os.environ[ONLY_WEIGHTS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[ONLY_WEIGHTS]
        else:
            os.environ[ONLY_WEIGHTS] = before


def rename_tensors(state: dict[str, Tensor], last: str) -> dict[str, Tensor]:
    """Translates the library's names of tensors to those of `network.LibraryNetwork`.

    Tensors that have these names already stay as they are.

    last: the library's name for its last layer.
    """
    if any(name.startswith("body.") for name in state):
        return state
    return {
        f"head.fc.{name.removeprefix(f'{last}.')}"
        if name.startswith(f"{last}.")
        else f"body.{name}": value
        for name, value in state.items()
    }


def _timm_parts(name: str, num_classes: int, side: int) -> LibraryParts:
    """Builds a network of timm; its stages are the groups that timm uses for layer-wise learning
    rates.

    side: side of the images in pixels.
    """
    body = _timm_body(name, side)
    # timm's public functions group either parameters or modules. This private one, which they call,
    # groups both by name, and buffers too.
    group = importlib.import_module("timm.models._manipulate").group_with_matcher
    groups = group(
        ((name, None) for name in _names(body)), body.group_matcher(coarse=True), reverse=True
    )
    return LibraryParts(
        body=body,
        stage_of=_number_stages(body, groups),
        fc=nn.Linear(body.head_hidden_size, num_classes),
        last=str(timm("timm").get_pretrained_cfg(name).classifier),
    )


def _timm_body(name: str, side: int, *, pretrained: bool = False) -> Any:
    """Builds a network of timm without its head.

    side: side of the images in pixels, for networks that take one size only.
    """
    sized = {"img_size": side} if timm("timm").get_pretrained_cfg(name).fixed_input_size else {}
    return timm("timm").create_model(name, num_classes=0, pretrained=pretrained, **sized)


def _torchvision_parts(name: str, num_classes: int, side: int) -> LibraryParts:
    """Builds a network of torchvision; its stages are the children before its classifier.

    If there are too few, the largest child is divided into its own children. Tensors that belong to
    no child, such as a transformer's class token, belong to the first stage.

    side: side of the images in pixels, for networks that take one size only.
    """
    sized = {"image_size": side} if name.startswith("vit_") else {}
    body: Any = torchvision.models.get_model(name, num_classes=num_classes, **sized)
    last, fc = _last_linear(name, body)
    body.set_submodule(last, nn.Identity())
    classifier = last.partition(".")[0]
    stages = _split_into_stages(body, classifier)
    tensors = body.state_dict()
    groups = {}
    for each in _names(body):
        inside = [n for n, stage in enumerate(stages) if f"{each}.".startswith(f"{stage}.")]
        if inside or (each in tensors and not each.startswith(f"{classifier}.")):
            groups[each] = inside[0] if inside else 0
    return LibraryParts(body=body, stage_of=_number_stages(body, groups), fc=fc, last=last)


def _last_linear(name: str, body: nn.Module) -> tuple[str, nn.Linear]:
    """Returns name and module of the network's last layer.

    Raises `NetworkError` if that layer isn't dense.
    """
    *_, (last, layer) = ((n, m) for n, m in body.named_modules() if not [*m.children()])
    if not isinstance(layer, nn.Linear):
        raise NetworkError(
            f"network must end in a dense layer, but torchvision:{name} doesn't: choose another."
        )
    return last, layer


def _split_into_stages(body: nn.Module, classifier: str) -> list[str]:
    """Returns the names of a network's stages: modules with parameters, in the order of definition.

    The stages are first the network's children without the classifier. While there are fewer than
    `_FEWEST_STAGES`, the largest one is divided into its own children.
    """
    stages = [n for n, m in body.named_children() if n != classifier and _size(m)]
    while len(stages) < _FEWEST_STAGES:
        largest = max(stages, key=lambda name: _size(body.get_submodule(name)))
        children = [
            f"{largest}.{n}" for n, m in body.get_submodule(largest).named_children() if _size(m)
        ]
        if not children:
            break
        at = stages.index(largest)
        stages[at : at + 1] = children
    return stages


def _size(module: nn.Module) -> int:
    """Returns the number of values in all parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def _names(body: nn.Module) -> list[str]:
    """Returns the names of every module, parameter and buffer inside `body`."""
    modules = [name for name, _ in body.named_modules() if name]
    return [
        *modules,
        *(n for n, _ in body.named_parameters()),
        *(n for n, _ in body.named_buffers()),
    ]


def _number_stages(body: nn.Module, groups: dict[str, int]) -> dict[str, int]:
    """Numbers the groups that hold parameters from 0 on, and drops the others."""
    held = sorted({groups[name] for name, _ in body.named_parameters() if name in groups})
    return {name: held.index(group) for name, group in groups.items() if group in held}


def _check_name(library: str, name: str) -> None:
    """Raises `NetworkError` if the library has no network of this name."""
    known = (
        timm("timm").list_models()
        if library == "timm"
        else torchvision.models.list_models(torchvision.models)
    )
    if name.partition(".")[0] not in known:
        otherwise = f"see {library}'s list of models."
        hint = did_you_mean(name, known, otherwise, show=lambda close: f"{library}:{close}")
        raise NetworkError(
            f"network must name one of {library}'s, but got network='{library}:{name}'; {hint}"
        )


def _refusal(config: TrialConfig, error: Exception) -> NetworkError:
    """Returns the error for a network that can't be built or run with this configuration."""
    reason = str(error).partition("\n")[0] or type(error).__name__
    return NetworkError(
        f"network must take images of {config.image_size} pixels and have stages, but "
        f"{config.network} refuses ({reason}): change image_size, or choose another network."
    )
