"""Pretrained weights: torchvision's by name, a file, or none. Never one instead of another."""

import hashlib
import logging
import pickle
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models import get_model_weights

from trainables.config import TrialConfig
from trainables.networks import Network, build

logger = logging.getLogger(__name__)

DOWNLOAD_TIMEOUT_S = 20.0
_HEAD = ("head.fc.weight", "head.fc.bias")


class WeightsError(Exception):
    """Pretrained weights can't be had or don't fit; the message names the ways on."""


def check(config: TrialConfig) -> None:
    """Fetches what `config` starts from and tries it on, before any trial does.

    Afterwards `load` needs no network connection on this machine. Raises `WeightsError`.
    """
    if config.weights == "none":
        return
    if config.weights == "imagenet":
        _check_cached(_cached_imagenet(config.network))
    with torch.device("meta"):
        network = build(config, num_classes=1000)
    _matched(network, _read(config), config.weights)


def load(network: Network, config: TrialConfig) -> None:
    """Puts `config.weights` into `network`, in place; with `none` nothing happens.

    A head for another number of classes keeps its random weights, and the log says so.
    Raises `WeightsError` when the weights can't be had or another tensor doesn't fit.
    """
    if config.weights == "none":
        return
    state = _matched(network, _read(config), config.weights)
    if _HEAD[0] not in state:
        logger.info("%s: the head is for other classes, and starts afresh.", config.weights)
    network.load_state_dict(state, strict=False)


def our_name(name: str) -> str:
    """A torchvision ResNet's name for a tensor as `networks.Network` calls it."""
    part, _, _ = name.partition(".")
    if part in ("conv1", "bn1"):
        return f"stages.stem.{name}"
    if part == "fc":
        return f"head.{name}"
    return f"stages.{name}" if part.startswith("layer") else name


def _read(config: TrialConfig) -> dict[str, Tensor]:
    """The state dict that `config.weights` names, under our names."""
    path = Path(config.weights).expanduser()
    if config.weights == "imagenet":
        path = _cached_imagenet(config.network)
        if not path.exists():
            _download(config.network, path)
    if not path.is_file():
        raise WeightsError(
            f"weights must be imagenet, none or an existing file, but {config.weights} is none of "
            "them: check the path."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise WeightsError(
            f"Weights must be a state dict that torch.save wrote, but {path} can't be read as one: "
            "fetch it again, or save `model.state_dict()` alone."
        ) from error
    return {our_name(k.removeprefix("module.")): v for k, v in _tensors(content, path).items()}


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in a file's content, which training scripts like to wrap."""
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if isinstance(content, Mapping):
        tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
        if tensors and len(tensors) == len(content):
            return tensors
    raise WeightsError(
        f"Weights must be a state dict, bare or under state_dict or model, but {path} holds "
        "something else: save `model.state_dict()`."
    )


def _matched(network: Network, state: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """`state` without a foreign head. Raises `WeightsError` for anything else that doesn't fit."""
    wanted = network.state_dict()
    if any(name in state and state[name].shape != wanted[name].shape for name in _HEAD):
        state = {name: tensor for name, tensor in state.items() if name not in _HEAD}
    missing = [
        name
        for name in wanted
        if name not in state and name not in _HEAD and not name.endswith("num_batches_tracked")
    ]
    unexpected = [name for name in state if name not in wanted]
    misshaped = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": misshaped}
    found = [f"{_first(names)} {fault}" for fault, names in faults.items() if names]
    if found:
        raise WeightsError(
            f"Weights must fit the network tensor by tensor, but in {source} {'; '.join(found)}: "
            "choose the network that they were saved from."
        )
    return state


def _first(names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{shown} {'is' if len(names) == 1 else 'are'}"


def _url(network: str) -> str:
    url: str = get_model_weights(network).DEFAULT.url
    return url


def _cached_imagenet(network: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / _url(network).rpartition("/")[2]


def _check_cached(path: Path) -> None:
    """Compares a file in the cache with the hash in its name, which torch does only once."""
    wanted = path.stem.rpartition("-")[2]
    if path.exists():
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if not actual.startswith(wanted):
            raise WeightsError(
                f"{path} must have a sha256 that starts with {wanted}, but got {actual[:8]}: "
                "delete it and fetch it again."
            )


def _download(network: str, path: Path) -> None:
    try:
        with _timeout(DOWNLOAD_TIMEOUT_S):
            torch.hub.load_state_dict_from_url(_url(network), check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"ImageNet weights must come from {_url(network)}, which can't be fetched here "
            f"({error}): put that file at {path}, or use --weights PATH, or --weights none."
        ) from error


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """A limit on silence from a host: torch's download sets none and would wait for minutes."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
