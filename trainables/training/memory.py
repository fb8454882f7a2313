"""What a training takes of memory, gives back, and how it says that there isn't enough."""

import gc
import resource
import traceback

import torch

_SIGNS = (
    "DefaultCPUAllocator: ",  # it raises for want of memory only
    "std::bad_alloc",
    "CUDA error: out of memory",  # outside torch's allocator: in the context, in a library
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""In `RuntimeError`s that torch has no class for. The allocator's, and oneDNN's below, were met
under a limit on a process' memory (torch 2.14.1), the others are as they are reported to torch."""

_ONEDNN = "could not create a primitive"
"""On the CPU, and all that it says; rarely for another reason."""


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory was wanted and not there, on a GPU or on the CPU.

    Not every want of memory gets to raise on a CPU: a system that promises more than it has
    kills the process, and where a limit is set oneDNN may crash it.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and (
        said == _ONEDNN or any(sign in said for sign in _SIGNS)
    )


def release_frames(error: BaseException) -> None:
    """Frees what the frames that `error` has left still hold, for as long as somebody keeps it.

    They hold the network, the batch and all that autograd remembers of it. The traceback keeps
    its lines, for a report.
    """
    traceback.clear_frames(error.__traceback__)
    gc.collect()  # a library's network may refer to itself


def release_gpu_memory(device: torch.device) -> None:
    """What a trial took of a GPU: torch would keep it, and other trials may share the GPU."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def reset_peak(device: torch.device) -> None:
    """Begins what `peak_bytes` looks back to."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """On a GPU the peak since `reset_peak`; on a CPU the process's, trials before included."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
