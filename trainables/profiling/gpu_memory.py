"""Measures how much GPU memory a trial needs. This is for CUDA."""

import torch

from trainables.config import TrialConfig
from trainables.models.inference import autocast, evaluation_batch
from trainables.profiling.gpu_need import GpuNeed
from trainables.profiling.training_steps import random_training
from trainables.training.evaluate import FEATURE_CACHE_BYTES
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
from trainables.training.step_graph import WARM_UP

_STEPS = 2
"""The measurement takes this many training steps, the second one with the optimizer's state. If
steps are captured, the one after the warm-up is, and one more is taken.
"""
_CLASSES = 1000
"""The measured network has this many classes."""


def measure_need(
    config: TrialConfig, device: torch.device, *, freezes: bool, captured: bool = False
) -> GpuNeed:
    """Returns what a trial of `config` needs of a GPU, without the dataset's images.

    If `config` doesn't fit into the free memory, it is measured with half as many images at once,
    as often as `halve_micro_batch` allows, which is how a trial that runs out of memory goes on.
    Raises an error that `out_of_memory` recognises if the last of these doesn't fit. Any other
    error of a training step is raised as it is.

    config: the configuration that needs the most memory, with a resolved precision.
    freezes: whether any trial freezes stages, whose outputs are stored.
    captured: whether steps are captured as a CUDA graph, which keeps its memory.
    """
    release_gpu_memory(device)
    free, total = torch.cuda.mem_get_info(device)
    free = min(total, free + torch.cuda.memory_reserved(device) + CONTEXT_BYTES)
    beside = CONTEXT_BYTES + (FEATURE_CACHE_BYTES if freezes else 0)
    apply_gpu_settings(config.deterministic, device)
    while True:
        smaller = halve_micro_batch(config)
        try:
            needed = _peak_of_steps(config, device, captured=captured) + beside
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


def _peak_of_steps(config: TrialConfig, device: torch.device, *, captured: bool) -> int:
    """Returns torch's peak of memory, in bytes, while it trains and evaluates under `config`.

    Training steps are taken on a random batch until all that they keep is there, and one batch is
    evaluated.
    """
    reset_peak(device)
    steps, batch = random_training(config, device, classes=_CLASSES, captured=captured)
    for _ in range(WARM_UP + 2 if captured else _STEPS):
        steps.take(*batch)
    with steps.auxiliary.evaluated_weights(), torch.inference_mode(), autocast(config, device):
        steps.network.eval()(_evaluated_images(config, device))
    return peak_bytes(device)


def _evaluated_images(config: TrialConfig, device: torch.device) -> torch.Tensor:
    """Returns as many random images as are evaluated at once: float32 (B, 3, S, S)."""
    shape = (evaluation_batch(config, device), 3, config.image_size, config.image_size)
    return torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
