"""Measures and frees a training's memory, and recognises errors for want of memory."""

import gc
import resource
import traceback

import torch

_SIGNS = (
    "DefaultCPUAllocator: ",  # this allocator raises for want of memory only
    "std::bad_alloc",
    "CUDA error: out of memory",  # CUDA's context or a library raises this
    "CUDA driver error: out of memory",  # this is from expandable segments and CUDA graphs
    "Triton Error [CUDA]: out of memory",  # this is from compiled code
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate",  # the usual one on a full card
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    # A convolution finds no room for its workspace:
    "was unable to find an engine to execute this computation",
)
"""A `RuntimeError` with one of these texts means want of memory; torch has no class for these.

The text of the allocator, and oneDNN's below, occurred under a limit on a process's memory (torch
2.14.1). The others are from reports to torch and weren't reproduced. Two of them have another cause
now and then: a cuDNN that doesn't fit torch is not initialised, and a convolution in a type that
the card doesn't compute has no engine.
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
