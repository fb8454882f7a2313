"""What a trained network costs where it is used: its parameters, and its inference latency."""

import time
from collections.abc import Callable

import torch

from results.records import NetworkCosts
from trainables.config import TrialConfig
from trainables.models.network import Network, build
from trainables.models.setup import default_device, prepare_network
from trainables.training.evaluate import autocast

_WARM_UP = 3
_SECONDS = 1.0
_LEAST_PASSES = 10


def network_costs(config: TrialConfig, num_classes: int) -> NetworkCosts:
    """Counts the parameters of the network that `config` builds, and times its inference here.

    Frozen parameters count, BatchNorm's statistics don't. `config.precision` must be resolved.
    Weights are random, and torch's generators stay as they are. Raises `NetworkError` as `build`.
    """
    device = default_device()
    with torch.random.fork_rng():
        network = prepare_network(build(config, num_classes), config, device)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        latency = latency_ms(network, config, device)
    return NetworkCosts(latency_ms=latency, parameters_m=parameters / 1e6)


@torch.inference_mode()
def latency_ms(network: Network, config: TrialConfig, device: torch.device) -> float:
    """Milliseconds from one image on `device`, as the network takes it, to its logits there.

    In evaluation mode, in the configuration's precision and image size, with as many CPU threads
    as torch is set to. The fastest pass of `_SECONDS`, after a warm-up: what makes others slower
    is the machine's, as `timeit` says of its own minimum. To two significant digits, of which a
    crowded machine spoils the second: with 10 to 60 processes on two Zen 4 cores, eight
    measurements at 64 px gave 8.5 to 9.3 ms for a ResNet-18 in float32, and 22 to 30 for a
    ResNet-50 in bfloat16. Leaves `network` in evaluation mode.
    """
    network.eval()
    shape = (1, 3, config.image_size, config.image_size)
    image = torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
    passes: list[float] = []
    clock = _clock(device)
    # One context for all passes, as in `Evaluator`: weights are cast to bfloat16 once.
    with autocast(config, device):
        while len(passes) < _WARM_UP + _LEAST_PASSES or sum(passes) < _SECONDS:
            began = clock()
            network(image)
            passes.append(clock() - began)
    return float(f"{1000 * min(passes[_WARM_UP:]):.2g}")


def _clock(device: torch.device) -> Callable[[], float]:
    """Seconds. On a GPU, when it has done what it was given; not yet measured there.

    One CPU thread counts the time for which it has a core: other trials, and whoever else is on
    the machine, would otherwise count as the network's. Several threads have the wall clock only.
    """
    if device.type == "cuda":

        def when_done() -> float:
            torch.cuda.synchronize(device)
            return time.perf_counter()

        return when_done
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
