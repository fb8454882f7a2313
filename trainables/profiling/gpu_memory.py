"""Measures how much GPU memory a trial needs. This is for CUDA, and not yet tested on a GPU."""

import torch

from trainables.config import TrialConfig
from trainables.models.network import build
from trainables.models.setup import prepare_network
from trainables.training.auxiliary_state import AuxiliaryState
from trainables.training.evaluate import FEATURE_CACHE_BYTES, autocast, evaluation_batch
from trainables.training.optimizer import make_optimizer
from trainables.training.step import train_step

CONTEXT_BYTES = 600 << 20
"""CUDA itself holds this much for each process, beside torch's allocations: 300 to 600 MB."""

_STEPS = 2
"""The measurement takes this many training steps."""
_CLASSES = 1000
"""The measured network has this many classes."""


def needed_bytes(
    config: TrialConfig, device: torch.device, *, image_bytes: int = 0
) -> tuple[int, int]:
    """Returns (what a trial of `config` needs, what the GPU has), in bytes.

    The function takes two training steps on a synthetic batch, in pieces if `config` says so, the
    second one with the optimizer's state, evaluates a batch, and reads torch's peak.
    `config.precision` must be resolved.
    Raises `torch.OutOfMemoryError` if not even one trial fits.

    image_bytes: size of the dataset's images, if they stay on the GPU beside the trial.
    """
    torch.cuda.reset_peak_memory_stats(device)
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
    peak = torch.cuda.max_memory_reserved(device)
    total = torch.cuda.get_device_properties(device).total_memory
    return peak + CONTEXT_BYTES + FEATURE_CACHE_BYTES + image_bytes, total


def _synthetic_images(count: int, config: TrialConfig, device: torch.device) -> torch.Tensor:
    """Returns random images as a training sees them: float32 (count, 3, S, S)."""
    shape = (count, 3, config.image_size, config.image_size)
    return torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
