"""Measures, limits and frees a training's memory, and recognises errors for want of memory.

On an H200 that a neighbour had filled but for 100 to 1,000 MiB, every error was recognised; of a
trial that had ended, been stopped or failed, 65 MiB stayed, of which 64 are the workspaces of
cuBLAS and cuBLASLt.
"""

import gc
import resource
import traceback
from collections.abc import Mapping

import torch

CONTEXT_BYTES = 900 << 20
"""CUDA is assumed to hold this much for each process, beside torch's allocations. With torch 2.11
and CUDA 13, a process on an H200 held 526 MiB from its beginning, 684 after a product of matrices,
and 836 to 846 once it had trained and evaluated any of three networks.

A process can't measure its own part well. What a GPU has free before and after, less what torch has
reserved, also counts what other processes take or leave in the meantime; the first question that
torch can ask already makes the context; and the context grows with each library that is loaded
later. NVML knows the memory of one process, but not in a container, where the process has another
number there.
"""

_LEAST_FENCE = 0.001
"""A fence leaves at least this share of a GPU, because a share of 0 or less is no limit."""

_SIGNS = (
    "DefaultCPUAllocator: ",  # this allocator raises for want of memory only
    "std::bad_alloc",
    "CUDA error: out of memory",  # CUDA's context or a library raises this
    "CUDA driver error: out of memory",  # this is from expandable segments and CUDA graphs
    "Triton Error [CUDA]: out of memory",  # this is from compiled code
    "NVML_SUCCESS == r INTERNAL ASSERT FAILED",  # older allocators, where NVML can't be asked
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


def allocator_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that let torch's memory on a GPU grow in place, instead of in blocks of
    fixed sizes that other sizes can't use. Returns none if `environ` configures torch's memory.

    torch reads them when a process first uses a GPU.
    """
    names = "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"
    own = any(name in environ for name in names)
    older = torch.__version__ < "2.11"  # torch 2.9 ignored the new name on GPUs
    return {} if own else {names[older]: "expandable_segments:True"}


def fence_memory(share: float, device: torch.device) -> None:
    """Limits this process to its `share` (0…1] of a GPU's memory: what it takes beyond fails in
    this process, and not in one that shares the GPU. On a CPU, this does nothing.

    CUDA's own part of the share (`CONTEXT_BYTES`) lies outside of the limit, which holds for
    torch's memory. A process with a whole GPU is not limited.
    """
    if device.type != "cuda":
        return
    total = torch.cuda.get_device_properties(device).total_memory
    fraction = 1.0 if share >= 1 else max(share - CONTEXT_BYTES / total, _LEAST_FENCE)
    torch.cuda.set_per_process_memory_fraction(fraction, _index(device))


def free_bytes(device: torch.device) -> int:
    """Returns how much memory this process may still take of a GPU: what is free there, within the
    limit of `fence_memory`.
    """
    free, total = torch.cuda.mem_get_info(device)
    limit = int(torch.cuda.get_per_process_memory_fraction(_index(device)) * total)
    return min(free, limit - torch.cuda.memory_reserved(device))


def _index(device: torch.device) -> int:
    """Returns the number of a GPU. Some of torch's functions refuse a device without one."""
    return torch.cuda.current_device() if device.index is None else device.index


def reset_peak(device: torch.device) -> None:
    """Begins a new measurement of the GPU memory's peak, which `peak_bytes` returns."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """Returns the peak of used memory in bytes.

    On a GPU, this is the peak since `reset_peak` of what torch has reserved there, which other
    processes can't use. The need of a trial (`trainables.profiling.gpu_memory`) is the same number,
    with CUDA's context. On a CPU, it is the peak of the process, which includes
    earlier trials.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
