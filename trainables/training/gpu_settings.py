"""Chooses how a GPU computes: float32, convolutions, and whether it repeats its numbers."""

import os
from typing import Any

import torch

from common.nvml import read_driver
from trainables.training.memory import allocator_environment

_CUBLAS = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""With workspaces of this size, cuBLAS repeats its numbers; it reads the variable at its first call
in a process.
"""


def apply_gpu_settings(deterministic: bool, device: torch.device) -> None:
    """Sets how this process computes on a GPU from now on. For a CPU, this does nothing.

    Memory grows in place, see `allocator_environment`. Convolutions in float32 use TF32, which has
    10 bits of mantissa, as they do by torch's default. Products of matrices in float32 use float32,
    because augmentation computes positions of pixels by them. cuDNN takes the algorithm that it
    expects to be the fastest for a shape. To try several, as `torch.backends.cudnn.benchmark` asks
    for, gained nothing on an H200 in bfloat16, and each process pays for it: with ResNet-18 at 64
    px, `wide_concat` and EfficientNet-Lite0 at 128 px, 35,400, 27,600 and 11,600 images a second
    against 35,100, 27,800 and 11,800 without, and 9.5, 3.9 and 38 s for the first step against 0.5,
    0.6 and 21 s.

    `deterministic` requests algorithms that repeat their numbers. Where torch has none that
    repeats, torch warns, and the numbers may differ in their last bits from call to call.
    """
    if device.type != "cuda":
        return
    os.environ.update(allocator_environment(os.environ))
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    if deterministic:
        os.environ.update(_CUBLAS)
    if deterministic != torch.are_deterministic_algorithms_enabled():  # it imports a compiler
        torch.use_deterministic_algorithms(deterministic, warn_only=True)


def describe_gpu(device: torch.device) -> dict[str, Any]:
    """Returns the settings and versions that a GPU's numbers depend on, as plain values; nothing
    for a CPU.
    """
    if device.type != "cuda":
        return {}
    return {
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
        "tf32_matrix_products": torch.backends.cuda.matmul.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "cuda": torch.version.cuda,
        "nvidia_driver": read_driver().version or None,
    }
