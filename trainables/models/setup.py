"""A network made ready for its first epoch: built, weights loaded, on its device."""

import torch

from trainables.config import TrialConfig
from trainables.models import pretrained
from trainables.models.network import Network, build, freeze
from trainables.models.small_map_conv import use_matrix_products


def new_network(config: TrialConfig, num_classes: int, device: torch.device) -> Network:
    """The network that `config` starts from: seeded, with its weights, frozen, on `device`.

    channels_last, always: on one Zen 4 thread at 64 px it trains a ResNet-18 6 to 11 % faster
    than the contiguous format, a ResNet-50 13 %, in float32 and in bfloat16.
    """
    torch.manual_seed(config.seed)
    network = build(config, num_classes)
    pretrained.load(network, config)
    return prepare_network(network, config, device)


def prepare_network(network: Network, config: TrialConfig, device: torch.device) -> Network:
    """`network`, frozen as `config` says, on `device`, laid out as it trains fastest there."""
    freeze(network, config.freeze_depth)
    use_matrix_products(network)
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
