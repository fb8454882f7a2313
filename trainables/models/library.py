"""Any network of timm or torchvision, by name: run as the library runs it, its parts in stages.

Not every network is a chain: a vision transformer adds tokens and positions on its way. So the
library's own forward pass stays as it is, and stages are told apart by name only. Freezing needs
no more: what comes before the first parameter that trains builds no graph. Dropout that a
library's network has inside stays as the library sets it.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.models.base import NetworkError
from trainables.models.efficientnet_lite import timm

_FEWEST_STAGES = 4
ONLY_WEIGHTS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""torch's own variable; what is set stands above what a library passes to `torch.load`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class External:
    """`body` gives float (B, fc.in_features).

    last: the library's name for its last layer, which `fc` stands for.
    stage_of: the number of its stage for each module, parameter and buffer, by name; what is in
    none always trains.
    """

    body: nn.Module
    stage_of: dict[str, int]
    fc: nn.Linear
    last: str


def make_parts(config: TrialConfig, num_classes: int) -> External:
    """The network that `config` names. Raises `NetworkError`."""
    library, _, name = config.network.partition(":")
    make = _timm_parts if library == "timm" else _torchvision_parts
    _check_name(library, name)
    try:
        return make(name, num_classes, config.image_size)
    except NetworkError:
        raise
    except Exception as error:  # the libraries raise whatever their networks do
        raise _refused(config, error) from error


def check(config: TrialConfig, found: External) -> None:
    """Runs two images through, training. Raises `NetworkError` unless stages run in their order."""
    seen: list[int] = []
    for name, module in found.body.named_modules():
        if name in found.stage_of and any(True for _ in module.parameters(recurse=False)):
            stage = found.stage_of[name]
            module.register_forward_pre_hook(lambda *_, stage=stage: seen.append(stage))
    try:
        features = found.body.train()(torch.randn(2, 3, config.image_size, config.image_size))
    except Exception as error:
        raise _refused(config, error) from error
    if not isinstance(features, Tensor) or features.shape != (2, found.fc.in_features):
        raise NetworkError(
            f"network must give one vector an image, but {config.network} gives something else: "
            "choose another."
        )
    if not seen or seen != sorted(seen):
        raise NetworkError(
            f"network must have stages that run one after the other, but those of "
            f"{config.network} don't: choose another."
        )


def from_timm(network: str, side: int) -> dict[str, Tensor]:
    """timm's default weights without their head, fitted by timm to images of `side` pixels.

    From its cache or Hugging Face's hub. Raises what that raises. Names are ours.
    """
    body = _timm_body(network.removeprefix("timm:"), side, pretrained=True)
    return {f"body.{name}": tensor for name, tensor in body.state_dict().items()}


def from_torchvision(network: str) -> dict[str, Tensor]:
    """torchvision's default weights from its cache, after whatever renaming it does of old files.

    Names are the library's. Raises what torch raises for a file that holds more than weights.
    """
    with _weights_only():
        name = network.removeprefix("torchvision:")
        model = torchvision.models.get_model(name, weights="DEFAULT")
    state: dict[str, Tensor] = model.state_dict()
    return state


@contextmanager
def _weights_only() -> Iterator[None]:
    """Nothing in a file of weights is run: torchvision reads them without asking torch for that."""
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
    """The library's tensors under the names of `networks.WholeNetwork`; ours stay as they are."""
    if any(name.startswith("body.") for name in state):
        return state
    return {
        f"head.fc.{name.removeprefix(f'{last}.')}"
        if name.startswith(f"{last}.")
        else f"body.{name}": value
        for name, value in state.items()
    }


def _timm_parts(name: str, num_classes: int, side: int) -> External:
    """timm's own grouping of parameters, as its layer-wise learning rates use it."""
    body = _timm_body(name, side)
    # Private, but of its callers the one that also places modules and buffers by their names.
    group = importlib.import_module("timm.models._manipulate").group_with_matcher
    groups = group(
        ((name, None) for name in _names(body)), body.group_matcher(coarse=True), reverse=True
    )
    return External(
        body=body,
        stage_of=_numbered(body, groups),
        fc=nn.Linear(body.head_hidden_size, num_classes),
        last=str(timm("timm").get_pretrained_cfg(name).classifier),
    )


def _timm_body(name: str, side: int, *, pretrained: bool = False) -> Any:
    """The network without its head."""
    sized = {"img_size": side} if timm("timm").get_pretrained_cfg(name).fixed_input_size else {}
    return timm("timm").create_model(name, num_classes=0, pretrained=pretrained, **sized)


def _torchvision_parts(name: str, num_classes: int, side: int) -> External:
    """The network's children before its classifier; the largest taken apart until it's enough.

    Tensors that belong to no child, as a transformer's class token, count to the first stage.
    """
    sized = {"image_size": side} if name.startswith("vit_") else {}
    body: Any = torchvision.models.get_model(name, num_classes=num_classes, **sized)
    last, fc = _last_linear(name, body)
    body.set_submodule(last, nn.Identity())
    classifier = last.partition(".")[0]
    stages = _taken_apart(body, classifier)
    tensors = body.state_dict()
    groups = {}
    for each in _names(body):
        inside = [n for n, stage in enumerate(stages) if f"{each}.".startswith(f"{stage}.")]
        if inside or (each in tensors and not each.startswith(f"{classifier}.")):
            groups[each] = inside[0] if inside else 0
    return External(body=body, stage_of=_numbered(body, groups), fc=fc, last=last)


def _last_linear(name: str, body: nn.Module) -> tuple[str, nn.Linear]:
    *_, (last, layer) = ((n, m) for n, m in body.named_modules() if not [*m.children()])
    if not isinstance(layer, nn.Linear):
        raise NetworkError(
            f"network must end in a dense layer, but torchvision:{name} doesn't: choose another."
        )
    return last, layer


def _taken_apart(body: nn.Module, classifier: str) -> list[str]:
    """Names of modules with parameters, in the order they were defined."""
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
    return sum(parameter.numel() for parameter in module.parameters())


def _names(body: nn.Module) -> list[str]:
    """Of every module, parameter and buffer inside `body`."""
    modules = [name for name, _ in body.named_modules() if name]
    return [
        *modules,
        *(n for n, _ in body.named_parameters()),
        *(n for n, _ in body.named_buffers()),
    ]


def _numbered(body: nn.Module, groups: dict[str, int]) -> dict[str, int]:
    """The groups that hold parameters, numbered from 0 on; the others belong to no stage."""
    held = sorted({groups[name] for name, _ in body.named_parameters() if name in groups})
    return {name: held.index(group) for name, group in groups.items() if group in held}


def _check_name(library: str, name: str) -> None:
    known = (
        timm("timm").list_models()
        if library == "timm"
        else torchvision.models.list_models(torchvision.models)
    )
    if name.partition(".")[0] not in known:
        close = get_close_matches(name, known, n=1)
        hint = (
            f"did you mean {library}:{close[0]}?" if close else f"see {library}'s list of models."
        )
        raise NetworkError(
            f"network must name one of {library}'s, but got network='{library}:{name}'; {hint}"
        )


def _refused(config: TrialConfig, error: Exception) -> NetworkError:
    reason = str(error).partition("\n")[0] or type(error).__name__
    return NetworkError(
        f"network must take images of {config.image_size} pixels and have stages, but "
        f"{config.network} refuses ({reason}): change image_size, or choose another network."
    )
