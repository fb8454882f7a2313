"""Prepares a network for its first epoch: builds it, loads weights, and moves it to its device."""

import torch
from torch import nn

from trainables.config import TrialConfig
from trainables.models import pretrained
from trainables.models.folding import fold_batch_norms
from trainables.models.network import Network, build, freeze
from trainables.models.small_map_conv import use_matrix_products

HALF_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""This table gives the type that autocast computes in, by precision."""


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
    if config.views and config.cutmix_alpha > 0:
        network.fixed_layers = 0  # boxes are cut out of maps
    if device.type == "cpu":
        use_matrix_products(network)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    fold_frozen_stages(network, HALF_TYPES.get(config.precision, torch.float32))
    return network


def fold_frozen_stages(network: Network, dtype: torch.dtype) -> None:
    """Gives `network` copies of its frozen stages, in which BatchNorm is part of the convolutions
    (`fold_batch_norms`), and convolutions and dense layers have weights of type `dtype`.

    They give the same numbers up to rounding. Autocast itself would cast weights that don't train
    anew for every batch. A library's network gets no copies, because none of its stages runs
    alone.
    """
    if network.has_frozen_features():
        network.folded_type = dtype
        network.folded_stages = [fold_batch_norms(stage) for stage in network.frozen_stages()]
        for module in nn.ModuleList(network.folded_stages).modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.to(dtype)


def computes(precision: str, device: torch.device) -> bool:
    """Returns whether a device has instructions for a precision, and doesn't only emulate it.

    GPUs before compute capability 8, such as T4 and V100, emulate bfloat16, and so do CPUs without
    AVX-512 or ARM's BF16, which most laptops have: one thread of an AMD EPYC (Zen 3) trains
    `mini_alexnet` on 69 images a second in float32 and on 6.6 in bfloat16. With AVX-512 alone, a
    CPU counts as one that computes it, since only a measurement tells which is faster there. A CPU
    always emulates float16.
    """
    if precision == "float32":
        return True
    if device.type == "cuda":
        return precision == "float16" or torch.cuda.is_bf16_supported(including_emulation=False)
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return precision == "bfloat16" and supported is not None and bool(supported())


def default_device() -> torch.device:
    """Returns the first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
