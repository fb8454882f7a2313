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
    because augmentation computes positions of pixels by them. cuDNN tries its algorithms at the
    first convolution of each shape and takes the fastest, because a training has few shapes: its
    batches, their pieces, and the evaluated batches. On an H200 in bfloat16 its first guess was as
    fast: the kernels of a ResNet-18's step took 1.69 ms either way.

    `deterministic` requests algorithms that repeat their numbers; then cuDNN doesn't try several,
    because the fastest one varies. Where torch has none that repeats, torch warns, and the numbers
    may differ in their last bits from call to call.
    """
    if device.type != "cuda":
        return
    os.environ.update(allocator_environment(os.environ))
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = not deterministic
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
