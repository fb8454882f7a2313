"""Pretrained weights: a library's own, a file, or none. Never one instead of another."""

import hashlib
import logging
import socket
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models import get_model_weights

from common.errors import UserError
from common.files import check_archive
from trainables.catalog import is_external
from trainables.config import TrialConfig
from trainables.models import efficientnet_lite, library, resnet
from trainables.models.network import Network, WholeNetwork, build_without_values, load_tensors

logger = logging.getLogger(__name__)

_LITE = "efficientnet_lite0"
DOWNLOAD_TIMEOUT_S = 20.0
_HEAD = ("hidden", "fc")
"""The head's layers that may start afresh, in the order they run."""


class WeightsError(UserError):
    """Pretrained weights can't be had or don't fit; the message names the ways on."""


def check(config: TrialConfig, network: Network | None = None) -> None:
    """Fetches what `config` starts from and tries it on, before any trial does.

    network: what `networks.check` has built for `config`, by default another like it.
    Afterwards `load` needs no network connection on this machine. Raises `WeightsError`, and
    `NetworkError` when a package is missing.
    """
    if config.weights == "none":
        return
    if config.weights == "imagenet" and _from_torchvision(config.network):
        _check_cached(_cached_imagenet(config.network))
    network = network or build_without_values(config, num_classes=1000)
    _matched(network, _read(config, network), config.weights)


def load(network: Network, config: TrialConfig) -> None:
    """Puts `config.weights` into `network`, in place; with `none` nothing happens.

    The head's last layer keeps its random weights where they are for another number of classes,
    and so does a layer of `head_width` that the weights don't have: the log says so.
    Raises `WeightsError` when the weights can't be had or another tensor doesn't fit.
    """
    if config.weights == "none":
        return
    state = _matched(network, _read(config, network), config.weights)
    fresh = _fresh(network.state_dict(), state)
    if fresh:
        logger.info("%s: the head starts afresh from its layer %s on.", config.weights, fresh[0])
    load_tensors(network, state)


def _read(config: TrialConfig, network: Network) -> dict[str, Tensor]:
    """The state dict that `config.weights` names, under the names of `network`."""
    if config.weights == "imagenet":
        return _renamed(_imagenet(config), config.network, network)
    path = Path(config.weights).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"weights must be imagenet, none or an existing file, but {config.weights} is none of "
            "them: check the path."
        )
    return _renamed(_load(path), config.network, network)


def _imagenet(config: TrialConfig) -> dict[str, Tensor]:
    """The weights that a library, or a package, offers for a network, under its own names."""
    network = config.network
    if network == _LITE:
        return efficientnet_lite.from_package(_load(efficientnet_lite.imagenet_file()))
    if not _from_torchvision(network):
        return _from_timm(config)
    path = _cached_imagenet(network)
    if not path.exists():
        _download(network, path)
    if not is_external(network):
        return _load(path)
    with _readable(path):
        return library.from_torchvision(network)


def _from_torchvision(network: str) -> bool:
    return network != _LITE and not network.startswith("timm:")


def _from_timm(config: TrialConfig) -> dict[str, Tensor]:
    try:
        with _timeout(DOWNLOAD_TIMEOUT_S):
            return library.from_timm(config.network, config.image_size)
    except Exception as error:  # the hub's client has errors of its own
        raise WeightsError(
            f"Weights of {config.network} must come from Hugging Face's hub, which can't be "
            f"reached or hasn't any ({type(error).__name__}): use --weights PATH or --weights none."
        ) from error


def _renamed(state: dict[str, Tensor], name: str, network: Network) -> dict[str, Tensor]:
    """The library's names as ours; our own stay as they are."""
    state = {name.removeprefix("module."): value for name, value in state.items()}
    if isinstance(network, WholeNetwork):
        return library.rename_tensors(state, network.last_layer)
    our_name = efficientnet_lite.our_name if name == _LITE else resnet.our_name
    return {our_name(name): value for name, value in state.items()}


def _load(path: Path) -> dict[str, Tensor]:
    with _readable(path):
        _check_whole(path, path.stat().st_mtime_ns)
        content = torch.load(path, map_location="cpu", weights_only=True)
    return _tensors(content, path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Names the file that can't be read: for broken content torch raises a dozen types."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise WeightsError(
            f"Weights must be a state dict that torch.save wrote, but {path} can't be read as one: "
            "fetch it again, or save `model.state_dict()` alone."
        ) from error


@lru_cache(maxsize=16)
def _check_whole(path: Path, _changed_ns: int) -> None:
    """`check_archive`, once in a process; there are no checksums in torch's format before 1.6."""
    if zipfile.is_zipfile(path):
        check_archive(path)


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
    fresh = _fresh(wanted, state)
    state = {k: v for k, v in state.items() if not any(_of(layer, k) for layer in fresh)}
    missing = [
        name
        for name in wanted
        if name not in state
        and not any(_of(layer, name) for layer in fresh)
        and not name.endswith("num_batches_tracked")
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
            "choose the network, and its image_size, that they were saved from."
        )
    return state


def _fresh(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The head's layers from the first on that `state` lacks, has besides, or has otherwise."""
    for number, layer in enumerate(_HEAD):
        ours, theirs = (
            {name: tensor.shape for name, tensor in tensors.items() if _of(layer, name)}
            for tensors in (wanted, state)
        )
        if ours != theirs:
            return _HEAD[number:]
    return ()


def _of(layer: str, name: str) -> bool:
    return name.startswith(f"head.{layer}.")


def _first(names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{shown} {'is' if len(names) == 1 else 'are'}"


def _url(network: str) -> str:
    url: str = get_model_weights(network.removeprefix("torchvision:")).DEFAULT.url
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
