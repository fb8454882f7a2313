"""Measures and frees a training's memory, and recognises errors for want of memory."""

import gc
import resource
import traceback

import torch

_SIGNS = (
    "DefaultCPUAllocator: ",  # this allocator raises for want of memory only
    "std::bad_alloc",
    "CUDA error: out of memory",  # CUDA's context or a library raises this
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""A `RuntimeError` with one of these texts means want of memory; torch has no class for these.

The text of the allocator, and oneDNN's below, occurred under a limit on a process's memory (torch
2.14.1). The others are from reports to torch and weren't reproduced.
"""

_ONEDNN = "could not create a primitive"
"""On the CPU, oneDNN reports want of memory with this text alone, and rarely means something
else.
"""


def out_of_memory(error: BaseException) -> bool:
    """Returns whether `error` means that memory ran out, on a GPU or on the CPU.

    On a CPU, not every want of memory raises an error: a system that promises more than it has
    kills the process, and under a limit oneDNN may crash the process.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        text == _ONEDNN or any(sign in text for sign in _SIGNS)
    )


def release_frames(error: BaseException) -> None:
    """Frees the memory of the frames that `error` has left, even while somebody holds the error.

    These frames hold the network, the batch and all that autograd stores for it. The traceback
    keeps its lines, for a report.
    """
    traceback.clear_frames(error.__traceback__)
    gc.collect()  # a library's network may contain reference cycles


def release_gpu_memory(device: torch.device) -> None:
    """Returns a trial's memory to the GPU; torch would hold it, and other trials may share the
    GPU.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()


def reset_peak(device: torch.device) -> None:
    """Begins a new measurement of the GPU memory's peak, which `peak_bytes` returns."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """Returns the peak of used memory in bytes.

    On a GPU, this is the peak since `reset_peak`. On a CPU, it is the peak of the process, which
    includes earlier trials.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
