"""Prepares a network for its first epoch: builds it, loads weights, and moves it to its device."""

import torch

from trainables.config import TrialConfig
from trainables.models import pretrained
from trainables.models.network import Network, build, freeze
from trainables.models.small_map_conv import use_matrix_products


def new_network(config: TrialConfig, num_classes: int, device: torch.device) -> Network:
    """Builds the network that `config` starts from: seeded, with its weights, frozen, on `device`.

    The memory format is always channels_last: on one Zen 4 thread at 64 px, a ResNet-18 trains 6 to
    11 % faster with it than with the contiguous format, and a ResNet-50 13 %, in float32 and in
    bfloat16. Raises `NetworkError` and `WeightsError`.
    """
    torch.manual_seed(config.seed)
    network = build(config, num_classes)
    pretrained.load(network, config)
    return prepare_network(network, config, device)


def prepare_network(network: Network, config: TrialConfig, device: torch.device) -> Network:
    """Freezes `network` as `config` says, moves it to `device`, and lays it out for fast training.

    Returns the network. Raises `NetworkError` if the network has fewer stages than are to be
    frozen.
    """
    freeze(network, config.freeze_depth)
    use_matrix_products(network)
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def default_device() -> torch.device:
    """Returns the first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
