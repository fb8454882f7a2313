"""What says out of memory, and that a training which ran out of it leaves nothing behind."""

import os
import subprocess
import sys
import traceback
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets.access import open_search_data
from trainables.config import TrialConfig
from trainables.train import train
from trainables.training import step
from trainables.training.memory import out_of_memory

ROOT = Path(__file__).parents[3]
CONFIG = TrialConfig(network="resnet10", image_size=32, batch_size=8, epochs=1, precision="float32")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError("could not create a primitive"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"
        ),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously"),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("FIND was unable to find an engine to execute this computation"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_these_say_out_of_memory(error: Exception) -> None:
    assert out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("could not create a primitive descriptor for the concat primitive"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA driver version is insufficient for CUDA runtime version"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
        RuntimeError("Found no NVIDIA driver on your system."),
        RuntimeError("Expected all tensors to be on the same device"),
        ValueError("std::bad_alloc"),
        KeyboardInterrupt(),
    ],
)
def test_these_say_something_else(error: BaseException) -> None:
    assert not out_of_memory(error)


@pytest.mark.parametrize("make", [torch.empty, np.empty])
def test_an_allocation_that_no_machine_grants_is_recognised(make: Any) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        make(1 << 50)  # petabytes
    assert out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("error", "freed"), [(torch.OutOfMemoryError("CUDA out of memory."), True), (OSError(), False)]
)
def test_an_error_that_is_kept_holds_no_graph(
    tiny_data: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, freed: bool
) -> None:
    """As whoever reports it may keep it; its traceback still has every line."""
    held: list[weakref.ref[torch.Tensor]] = []

    def fail(logits: torch.Tensor, *_: object, **__: object) -> None:
        held.append(weakref.ref(logits))
        raise error

    monkeypatch.setattr(step, "cross_entropy", fail)
    with pytest.raises(type(error)) as caught:
        next(train(CONFIG, open_search_data(tiny_data)))
    assert (held[0]() is None) == freed
    assert "fail" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


EXHAUST = """
import resource, sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from datasets.access import open_search_data
from trainables.config import TrialConfig
from trainables.training.memory import out_of_memory
from trainables.train import train

torch.set_num_threads(1)
data = open_search_data(Path(sys.argv[1]))
images = np.tile(data.train.indices, 8)
large = TrialConfig(network="resnet10", batch_size=576, epochs=1, optimizer="sgd",
                    precision="float32")
small = large.but(batch_size=8, image_size=32)
pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
virtual = pages * resource.getpagesize()
limit = virtual + (140 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
kept = []
try:
    next(train(large, replace(data, train=replace(data.train, indices=images))))
except Exception as error:
    kept.append(error)
print(out_of_memory(kept[0]), kept[0])
print(next(train(small, data)).train_loss)
"""


@pytest.mark.slow
def test_a_small_trial_trains_after_one_that_did_not_fit(tiny_data: Path) -> None:
    """140 MB more than the imports took: the first convolution of 576 images would give 151 MB."""
    done = subprocess.run(
        [sys.executable, "-c", EXHAUST, str(tiny_data)],
        cwd=ROOT, env=os.environ | {"MALLOC_ARENA_MAX": "1"},  # a thread's own takes 64 MB or more
        timeout=300, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said, loss = done.stdout.splitlines()
    assert said.startswith("True [enforce fail at alloc_cpu.cpp")
    assert "DefaultCPUAllocator: can't allocate memory: you tried to allocate 150994944" in said
    assert 0 < float(loss) < 5
