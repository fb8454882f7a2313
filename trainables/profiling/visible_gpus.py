"""Lists the GPUs that torch can compute on: `python -m trainables.profiling.visible_gpus [ID …]`.

Another process runs this and reads one line of JSON, because CUDA reads CUDA_VISIBLE_DEVICES only
once in a process, and because this memory of a GPU should be free again afterwards. With IDs, each
one is asked in a process that sees no other, since CUDA shows a process one MIG slice at most. Of
this, only one whole GPU has been tried.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from typing import Any, Protocol

import torch


class Cuda(Protocol):
    """Stands for the functions of `torch.cuda` that are called here."""

    def init(self) -> None: ...
    def device_count(self) -> int: ...
    def get_device_properties(self, device: int, /) -> Any: ...
    def mem_get_info(self, device: int, /) -> tuple[int, int]: ...


def list_gpus(cuda: Cuda, compute: Callable[[int], object]) -> dict[str, Any]:
    """Returns the visible GPUs in CUDA's order (`gpus`), and why there is none (`error`).

    Each GPU has its `name`, `uuid`, `memory_bytes`, `capability`, `free_bytes`, which other
    processes have left free, without the memory that CUDA takes for this process, and the `error`
    that `compute` has raised there, which is empty where the GPU computes.
    """
    try:
        cuda.init()
    except (RuntimeError, AssertionError) as error:  # torch has both types for this
        return {"gpus": [], "error": _first_line(error)}
    return {"gpus": [_describe(cuda, n, compute) for n in range(cuda.device_count())], "error": ""}


def _describe(cuda: Cuda, device: int, compute: Callable[[int], object]) -> dict[str, Any]:
    properties = cuda.get_device_properties(device)
    free, error = 0, ""
    try:
        compute(device)
        free = cuda.mem_get_info(device)[0]
    except RuntimeError as failure:
        error = _first_line(failure)
    return {
        "name": properties.name,
        "uuid": str(getattr(properties, "uuid", "")),
        "memory_bytes": properties.total_memory,
        "capability": f"{properties.major}.{properties.minor}",
        "free_bytes": free,
        "error": error,
    }


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0].rstrip(".")


def _compute(device: int) -> None:
    """Runs a kernel on a GPU, which raises `RuntimeError` where torch has none for it."""
    torch.zeros(1, device=f"cuda:{device}").add_(1).item()


def _list_visible(visible: str) -> dict[str, Any]:
    os.environ["CUDA_VISIBLE_DEVICES"] = visible
    return list_gpus(torch.cuda, _compute)


def main(ids: Sequence[str]) -> None:
    """Prints what is known of the GPUs with these ids, one after the other, and of all visible ones
    without ids, with the versions of torch and of the CUDA that it is built for.
    """
    if ids:
        # torch is imported, but CUDA hasn't begun: a fork may begin it.
        with get_context("fork").Pool(1, maxtasksperchild=1) as pool:
            answers = pool.map(_list_visible, ids, chunksize=1)
    else:
        answers = [list_gpus(torch.cuda, _compute)]
    built = {"torch": torch.__version__, "cuda": torch.version.cuda}
    print(json.dumps({**built, "answers": answers}))


if __name__ == "__main__":
    main(sys.argv[1:])
