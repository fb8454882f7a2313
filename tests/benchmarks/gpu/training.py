"""One training's steps and how long they take: on a GPU, until its work is done."""

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import torch
from torch import Tensor

from datasets.loading.loader import Batches
from datasets.splits import Images
from tests.benchmarks.gpu.bench import Bench
from trainables.config import TrialConfig
from trainables.models.setup import default_device, new_network
from trainables.profiling.precision import half_precision
from trainables.training.auxiliary_state import AuxiliaryState
from trainables.training.batches import BatchFeeder
from trainables.training.gpu_settings import apply_gpu_settings
from trainables.training.optimizer import make_optimizer, set_lr
from trainables.training.step import TrainingSteps

DEVICE = default_device()
CUDA = DEVICE.type == "cuda"
USUAL = {"flip": True, "crop": 0.0625, "cutout": 0.25}
"""The augmentation of `eight_space`, and its Cutout."""


def config(bench: Bench, **changes: Any) -> TrialConfig:
    """A ResNet-18 at 64 px in this card's precision of 16 bits, with changes; tiny in miniature."""
    usual = {
        "network": "resnet18",
        "batch_size": 64,
        "epochs": 2,
        "precision": half_precision(DEVICE) or "float32",
    }
    tiny = {"network": "resnet10", "image_size": 32, "batch_size": 8}
    return TrialConfig(**(usual | changes | bench.few({}, tiny)))


class Training:
    """A network whose steps are those of `trainables.train.train`; `captured` ones are one CUDA
    graph each, as a search takes them where that is faster.
    """

    def __init__(
        self,
        config: TrialConfig,
        images: Images,
        device: torch.device = DEVICE,
        *,
        captured: bool = False,
    ) -> None:
        classes = len(images.class_ids)
        self.config = config
        apply_gpu_settings(config.deterministic, device)
        self.network = new_network(config, classes, device).train()
        self._optimizer = make_optimizer(self.network, config)
        auxiliary = AuxiliaryState.begin(config, self.network, classes, device)
        self._steps = TrainingSteps(
            self.network, self._optimizer, auxiliary, config, images, captured=captured
        )

    def step(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """Augments a batch and trains on it; returns the loss."""
        set_lr(self._optimizer, self.config.lr)
        return self._steps.take(pixels, labels)


def random_batch(
    config: TrialConfig, images: Images, device: torch.device = DEVICE
) -> tuple[Tensor, Tensor]:
    """uint8 pixels (B, side, side, 3) as they are stored, and labels."""
    shape = (config.batch_size, images.size, images.size, 3)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    return pixels, torch.randint(len(images.class_ids), shape[:1], device=device)


def endless(bench: Bench, feeder: BatchFeeder, batch_size: int) -> Batches:
    """Epoch after epoch of the training images."""
    seed = 0
    while True:
        seed += 1
        with closing(
            feeder.batches(bench.data.train, batch_size, order_seed=seed, drop_last=True)
        ) as source:
            yield from source


def record_event() -> torch.cuda.Event:
    """An event that has come when the GPU has done what it has been given so far."""
    return torch.cuda.current_stream(DEVICE).record_event()


def synchronize() -> None:
    """Waits until the GPU's work is done."""
    if CUDA:
        torch.cuda.synchronize()


def time_calls(call: Callable[[], object], seconds: float, *, warm: int = 5) -> dict[str, float]:
    """Milliseconds of a call, until its work is done, and until Python has it back, and seconds of
    the very first one, which loads and chooses what a process needs once.

    Where the second is as long as the first and the kernels take less, the GPU waits for Python.
    """
    began = time.perf_counter()
    call()
    synchronize()
    first_s = time.perf_counter() - began
    for _ in range(warm - 1):
        call()
    synchronize()
    began, calls = time.perf_counter(), 0
    while calls < 3 or time.perf_counter() - began < seconds:
        call()
        calls += 1
    launched = time.perf_counter() - began
    synchronize()
    took = time.perf_counter() - began
    times = {"ms": 1000 * took / calls, "launch_ms": 1000 * launched / calls, "first_s": first_s}
    return times | kernel_times(call)


def kernel_times(call: Callable[[], object], calls: int = 3) -> dict[str, float]:
    """Milliseconds that a call's kernels take, added up, and their number; nothing on a CPU."""
    if not CUDA:
        return {}
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiled:
        for _ in range(calls):
            call()
        synchronize()
    # Ranges that optimizers and the profiler mark are listed among the GPU's events too.
    kernels = [
        event
        for event in profiled.events()
        if str(event.device_type).endswith("CUDA")
        and not getattr(event, "is_user_annotation", False)
        and not event.name.startswith(("Optimizer.", "ProfilerStep"))
    ]
    busy = sum(event.device_time for event in kernels)
    return {"kernels_ms": busy / 1000 / calls, "kernels": len(kernels) / calls}


def mib(size: float) -> float:
    """Bytes as MiB."""
    return size / (1 << 20)


def reserved_mib() -> float:
    """The most that torch has reserved on the GPU, 0 on a CPU."""
    return mib(torch.cuda.max_memory_reserved()) if CUDA else 0.0
