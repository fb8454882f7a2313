"""Loads pretrained weights: a library's own, a file, or none.

If the wanted weights can't be had, this module raises an error and never takes others instead.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from trainables.catalog import is_external
from trainables.config import TrialConfig
from trainables.models import efficientnet_lite, library, resnet
from trainables.models.base import WeightsError
from trainables.models.network import LibraryNetwork, Network, build_without_values, load_tensors
from trainables.models.torchvision_weights import cached_path, check_cached, download, limit_silence
from trainables.models.weights_file import explain_read_errors, read_weights

logger = logging.getLogger(__name__)

_LITE = "efficientnet_lite0"
"""A Python package brings the ImageNet weights of this network."""
_HEAD = ("hidden", "fc")
"""These layers of the head may start afresh; they run in this order."""


def check(config: TrialConfig, network: Network | None = None) -> None:
    """Downloads the weights that `config` names and compares them with the network, before any
    trial.

    Afterwards, `load` needs no network connection on this machine. The log says which entries of a
    file are used. Raises `WeightsError`, and `NetworkError` if a package is missing.

    network: the result of `trainables.models.network.check` for `config`; by default a like one is
    built.
    """
    if config.weights == "none":
        return
    if config.weights == "imagenet" and _from_torchvision(config.network):
        check_cached(cached_path(config.network))
    network = network or build_without_values(config, num_classes=1000)
    _match(network, _read(config, network, log_choice=True), config.weights)


def on_disk(config: TrialConfig) -> bool:
    """Returns whether the weights that `config` names can be read without a download. For timm's
    ImageNet weights, whose cache is the hub's own, the answer is always no.
    """
    if config.weights != "imagenet" or config.network == _LITE:
        return True
    return _from_torchvision(config.network) and cached_path(config.network).exists()


def load(network: Network, config: TrialConfig) -> None:
    """Loads `config.weights` into `network`, in place; with `none` nothing happens.

    The head's last layer keeps its random weights if those in the file are for another number of
    classes. So does a layer of `head_width` that the file doesn't have. The log says so. Raises
    `WeightsError` if the weights can't be had or another tensor doesn't fit.
    """
    if config.weights == "none":
        return
    state = _match(network, _read(config, network), config.weights)
    fresh = _fresh_layers(network.state_dict(), state)
    if fresh:
        logger.info(
            "weights %s: new layers, which start afresh: %s.", config.weights, ", ".join(fresh)
        )
    load_tensors(network, state)


def _read(config: TrialConfig, network: Network, *, log_choice: bool = False) -> dict[str, Tensor]:
    """Returns the state dict that `config.weights` names, under the names of `network`.

    log_choice: whether the log says which entries of a file are used.
    """
    if config.weights == "imagenet":
        return _rename(_imagenet(config), config.network, network)
    path = Path(config.weights).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"weights must be imagenet, none or an existing file, but {config.weights} is none of "
            "them: check the path."
        )
    found = read_weights(path)
    if log_choice:
        found.log_choice(path)
    return _rename(found.tensors, config.network, network)


def _imagenet(config: TrialConfig) -> dict[str, Tensor]:
    """Returns the ImageNet weights of a library or package under its own names."""
    network = config.network
    if network == _LITE:
        package = read_weights(efficientnet_lite.imagenet_file())
        return efficientnet_lite.from_package(package.tensors)
    if not _from_torchvision(network):
        return _from_timm(config)
    path = cached_path(network)
    if not path.exists():
        download(network, path)
    if not is_external(network):
        return read_weights(path).tensors
    with explain_read_errors(path):
        return library.from_torchvision(network)


def _from_torchvision(network: str) -> bool:
    """Returns whether torchvision offers the network's weights."""
    return network != _LITE and not network.startswith("timm:")


def _from_timm(config: TrialConfig) -> dict[str, Tensor]:
    """Returns timm's default weights. Raises `WeightsError` if they can't be downloaded."""
    try:
        with limit_silence():
            return library.from_timm(config.network, config.image_size)
    except Exception as error:  # the hub's client raises errors of its own
        raise WeightsError(
            f"Weights of {config.network} must come from Hugging Face's hub, which can't be "
            f"reached or hasn't any ({type(error).__name__}): use --weights PATH or --weights none."
        ) from error


def _rename(state: dict[str, Tensor], name: str, network: Network) -> dict[str, Tensor]:
    """Translates the library's names of tensors to those of `network`, and leaves the project's
    own.

    name: the network's name in the configuration.
    """
    if isinstance(network, LibraryNetwork):
        return library.rename_tensors(state, network.last_layer)
    our_name = efficientnet_lite.our_name if name == _LITE else resnet.our_name
    return {our_name(name): value for name, value in state.items()}


def _match(network: Network, state: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """Returns the tensors of `state`, by name, without a head for another number of classes.

    Raises `WeightsError` if any other tensor is missing from `state`, isn't in the network, or has
    another shape there.

    source: the weights' name for the error message.
    """
    expected = network.state_dict()
    fresh = tuple(f"head.{layer}." for layer in _fresh_layers(expected, state))
    state = {name: tensor for name, tensor in state.items() if not name.startswith(fresh)}
    missing = [
        name
        for name in expected
        if name not in state
        and not name.startswith(fresh)
        and not name.endswith("num_batches_tracked")
    ]
    unexpected = [name for name in state if name not in expected]
    misshaped = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": misshaped}
    found = [f"{_first_names(names)} {fault}" for fault, names in faults.items() if names]
    if found:
        raise WeightsError(
            f"Weights must fit the network tensor by tensor, but in {source} {'; '.join(found)}: "
            f"{_remedy(missing, unexpected, misshaped)}"
        )
    return state


def _remedy(missing: list[str], unexpected: list[str], misshaped: list[str]) -> str:
    """Returns what to do about weights that don't fit, given the names of the tensors at fault."""
    if not missing and not misshaped:
        return "remove from the file what is unexpected, or choose the network that has it."
    renamed = ", or give them the names in its `state_dict()`" if missing and unexpected else ""
    return f"choose the network, and its image_size, that they were saved from{renamed}."


def _fresh_layers(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Returns the head's layers that start afresh.

    These begin with the first layer whose tensors `state` lacks, has in addition, or has in other
    shapes.
    """
    for number, layer in enumerate(_HEAD):
        ours, theirs = (
            {k: tensor.shape for k, tensor in tensors.items() if k.startswith(f"head.{layer}.")}
            for tensors in (expected, state)
        )
        if ours != theirs:
            return _HEAD[number:]
    return ()


def _first_names(names: list[str]) -> str:
    """Returns the first three names as a file has them, the number of the others, and the matching
    «is» or «are».
    """
    shown = ", ".join(name.removeprefix("body.") for name in names[:3]) + (
        f" and {len(names) - 3} more" if len(names) > 3 else ""
    )
    return f"{shown} {'is' if len(names) == 1 else 'are'}"
