"""Downloads torchvision's ImageNet weights, and checks them in torch's cache."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from common.files import file_sha256
from trainables.models.base import WeightsError
from trainables.torchvision_import import get_model_weights

DOWNLOAD_TIMEOUT_S = 20.0
"""A download fails if the server is silent for this many seconds."""


def url(network: str) -> str:
    """Returns the address of torchvision's default weights for a network."""
    found: str = get_model_weights(network.removeprefix("torchvision:")).DEFAULT.url
    return found


def cached_path(network: str) -> Path:
    """Returns the path at which torch caches torchvision's weights for a network."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url(network).rpartition("/")[2]


def check_cached(path: Path) -> None:
    """Raises `WeightsError` if a cached file differs from the hash in its name.

    torch compares the hash only when it downloads the file.
    """
    expected = path.stem.rpartition("-")[2]
    if path.exists():
        actual = file_sha256(path)
        if not actual.startswith(expected):
            raise WeightsError(
                f"{path} must have a sha256 that starts with {expected}, but got {actual[:8]}: "
                "delete it and fetch it again."
            )


def download(network: str, path: Path) -> None:
    """Downloads torchvision's weights. Raises `WeightsError` if that fails."""
    try:
        with limit_silence():
            torch.hub.load_state_dict_from_url(url(network), check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"ImageNet weights must come from {url(network)}, which can't be fetched here "
            f"({error}): put that file at {path}, or use --weights PATH, or --weights none."
        ) from error


@contextmanager
def limit_silence() -> Iterator[None]:
    """Limits how long a host may be silent during a block, to `DOWNLOAD_TIMEOUT_S`.

    torch's own download sets no limit and would wait for minutes.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
