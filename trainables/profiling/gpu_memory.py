"""Measures how much GPU memory a trial needs. This is for CUDA, and not yet tested on a GPU."""

import torch

from trainables.config import TrialConfig
from trainables.models.network import build
from trainables.models.setup import prepare_network
from trainables.profiling.gpu_need import GpuNeed
from trainables.training.auxiliary_state import AuxiliaryState
from trainables.training.evaluate import FEATURE_CACHE_BYTES, autocast, evaluation_batch
from trainables.training.gpu_settings import apply_gpu_settings
from trainables.training.memory import (
    CONTEXT_BYTES,
    out_of_memory,
    peak_bytes,
    release_frames,
    release_gpu_memory,
    reset_peak,
)
from trainables.training.micro_batches import halve_micro_batch
from trainables.training.optimizer import make_optimizer
from trainables.training.step import train_step

_STEPS = 2
"""The measurement takes this many training steps."""
_CLASSES = 1000
"""The measured network has this many classes."""


def measure_need(config: TrialConfig, device: torch.device, *, freezes: bool) -> GpuNeed:
    """Returns what a trial of `config` needs of a GPU, without the dataset's images.

    If `config` doesn't fit into the free memory, it is measured with half as many images at once,
    as often as `halve_micro_batch` allows, which is how a trial that runs out of memory goes on.
    Raises an error that `out_of_memory` recognises if the last of these doesn't fit. Any other
    error of a training step is raised as it is.

    config: the configuration that needs the most memory, with a resolved precision.
    freezes: whether any trial freezes stages, whose outputs are stored.
    """
    release_gpu_memory(device)
    free, total = torch.cuda.mem_get_info(device)
    free = min(total, free + torch.cuda.memory_reserved(device) + CONTEXT_BYTES)
    beside = CONTEXT_BYTES + (FEATURE_CACHE_BYTES if freezes else 0)
    apply_gpu_settings(config.deterministic, device)
    while True:
        smaller = halve_micro_batch(config)
        try:
            needed = _peak_of_steps(config, device) + beside
            if needed > free:
                raise torch.OutOfMemoryError(f"{needed} bytes are needed, but {free} are free")
        except Exception as error:
            if smaller is None or not out_of_memory(error):
                raise
            release_frames(error)
        else:
            return GpuNeed(
                needed_bytes=needed,
                free_bytes=free,
                micro_batch_size=config.micro_batch_size,
            )
        config = smaller
        release_gpu_memory(device)


def _peak_of_steps(config: TrialConfig, device: torch.device) -> int:
    """Returns torch's peak of memory, in bytes, while it trains and evaluates under `config`.

    Two training steps are taken on a synthetic batch, the second one with the optimizer's state,
    and one batch is evaluated.
    """
    reset_peak(device)
    network = prepare_network(build(config, _CLASSES), config, device)
    optimizer = make_optimizer(network, config)
    auxiliary = AuxiliaryState.begin(config, network, _CLASSES, device)
    images = _synthetic_images(config.batch_size, config, device)
    labels = torch.randint(_CLASSES, (config.batch_size,), device=device)
    weights, scaler = auxiliary.loss_weights(), auxiliary.scaler
    for _ in range(_STEPS):
        train_step(network, optimizer, images, labels, config, weights, scaler)
        auxiliary.after_step()
    with auxiliary.evaluated_weights(), torch.inference_mode(), autocast(config, device):
        network.eval()(_synthetic_images(evaluation_batch(config, device), config, device))
    return peak_bytes(device)


def _synthetic_images(count: int, config: TrialConfig, device: torch.device) -> torch.Tensor:
    """Returns random images as a training sees them: float32 (count, 3, S, S)."""
    shape = (count, 3, config.image_size, config.image_size)
    return torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
