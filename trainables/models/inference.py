"""Tells how a network computes outside of training: in what precision, how many images at once."""

import torch

from trainables.config import TrialConfig
from trainables.models.setup import HALF_TYPES

EVALUATION_BATCH = 128
"""A network evaluates this many images at once on a CPU, unless `micro_batch_size` is smaller.

A ResNet-18 at 64 px on one Zen 4 thread evaluates, in float32 / bfloat16 images/s: with batches of
64, 472 / 892; of 128, 488 / 907; of 256, 463 / 828; of 512, 436 / 814.
"""

GPU_EVALUATION_BATCH = 1024
"""A network evaluates at most this many images at once on a GPU.

Starting the operations of a small batch takes a large GPU longer than computing them. An H200
evaluates 20,000 images of 64 px in 0.06 s so, with a ResNet-18.
"""
GPU_EVALUATION_PIXELS = 1 << 22
"""On a GPU, the images of an evaluated batch have about this many pixels: 1,024 images at 64 px,
256 at 128 px, and never fewer than `EVALUATION_BATCH`. So larger images need no more memory.
"""


def autocast(config: TrialConfig, device: torch.device) -> torch.autocast:
    """Returns the context for forward passes: autocast to the configuration's precision, unless
    that is float32.
    """
    dtype = HALF_TYPES.get(config.precision)
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def evaluation_batch(config: TrialConfig, device: torch.device) -> int:
    """Returns how many images are evaluated at once on `device` under this configuration."""
    most = EVALUATION_BATCH
    if device.type == "cuda":
        fit = GPU_EVALUATION_PIXELS // config.image_size**2
        most = max(EVALUATION_BATCH, min(GPU_EVALUATION_BATCH, fit))
    return min(most, config.micro_batch_size or most)
