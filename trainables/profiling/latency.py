"""Measures what a trained network costs in use: its parameters and its inference latency."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch

from results.records import NetworkCosts
from trainables.config import TrialConfig
from trainables.models.inference import autocast
from trainables.models.network import Network, build
from trainables.models.setup import default_device, prepare_network
from trainables.training.gpu_settings import apply_gpu_settings

_WARM_UP = 3
"""This many passes at the beginning warm the network up and aren't counted."""
_SECONDS = 1.0
"""The passes of a measurement take at least this many seconds together."""
_MIN_PASSES = 10
"""The measurement takes at least this many passes after the warm-up."""


def network_costs(
    config: TrialConfig, num_classes: int, device: torch.device | None = None
) -> NetworkCosts:
    """Counts the parameters of the network that `config` builds, and measures its latency on
    `device`, by default the first GPU if there is one, else the CPU.

    Frozen parameters count, BatchNorm's statistics don't. `config.precision` must be resolved.
    Weights are random, and torch's generators stay as they are. Raises `NetworkError` as
    `trainables.models.network.build` does.
    """
    device = device or default_device()
    apply_gpu_settings(config.deterministic, device)
    with fork_rng(device):
        network = prepare_network(build(config, num_classes), config, device)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        latency = latency_ms(network, config, device)
    return NetworkCosts(latency_ms=latency, parameters_m=parameters / 1e6)


@torch.inference_mode()
def latency_ms(network: Network, config: TrialConfig, device: torch.device) -> float:
    """Returns the milliseconds from one prepared image on `device` to its logits there.

    The network runs in evaluation mode, in the configuration's precision and image size, with as
    many CPU threads as torch is set to, and stays in evaluation mode. The result is the fastest
    pass within `_SECONDS`, after a warm-up, because what slows other passes down is the machine;
    `timeit` says the same of its own minimum. The result has two significant digits, and a crowded
    machine spoils the second: with 10 to 60 processes on two Zen 4 cores, eight measurements at 64
    px gave 8.5 to 9.3 ms for a ResNet-18 in float32, and 22 to 30 ms for a ResNet-50 in bfloat16.

    On a GPU, the result is expected to be the time in which Python starts the operations of one
    image, and not that of computing them, so that it orders networks by their number of layers.
    There even the fastest pass may include the turns of other trials that share the GPU. This is
    not yet measured on a GPU.
    """
    network.eval()
    shape = (1, 3, config.image_size, config.image_size)
    image = torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
    passes: list[float] = []
    clock = _clock(device)
    # One context serves all passes, as in `Evaluator`, and casts weights to bfloat16 only once.
    with autocast(config, device):
        while len(passes) < _WARM_UP + _MIN_PASSES or sum(passes) < _SECONDS:
            began = clock()
            network(image)
            passes.append(clock() - began)
    return float(f"{1000 * min(passes[_WARM_UP:]):.2g}")


def fork_rng(device: torch.device) -> AbstractContextManager[None]:
    """Returns a context after which torch's generators are as before, on the CPU and on `device`.

    Other GPUs aren't touched: a process takes memory of each GPU that it touches.
    """
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def _clock(device: torch.device) -> Callable[[], float]:
    """Returns a clock in seconds, for a GPU the `gpu_clock`.

    One CPU thread counts only the time for which it has a core; otherwise the time of other trials
    and users on the machine would count as the network's. Several threads have the wall clock only.
    """
    if device.type == "cuda":
        return gpu_clock(device)
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter


def gpu_clock(device: torch.device) -> Callable[[], float]:
    """Returns a clock in seconds that waits until the GPU has finished its work. The clock is not
    yet tested on a GPU.
    """

    def when_done() -> float:
        """Waits until the GPU has finished its work and returns the time in seconds."""
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return when_done
