"""Asks torch, before a search, what only torch knows. A process of its own answers, because the
driver doesn't import torch.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from typing import Any, NoReturn, ParamSpec, Self, TypeVar

from common.allowance import allowed_cores
from common.errors import UserError
from common.private_folder import keep_compiled_private
from common.signals import follow_parent, shield_children
from common.text import last_lines
from search.hardware.calibration import Measurement
from search.hardware.gpus import VISIBLE
from search.hardware.packing import serves_mps
from trainables.config import TrialConfig
from trainables.profiling.capture_gain import CaptureGain
from trainables.profiling.gpu_need import GpuNeed

P = ParamSpec("P")
T = TypeVar("T")


class ProbeError(UserError):
    """Reports that the baseline can't be trained on this machine. The message names the reason and
    the remedy.
    """


class TorchProcess:
    """Runs functions that need torch in one process of their own, which starts at the first call.

    Leaving the context waits for all submitted calls, but after an interruption it ends them.

    visible: what CUDA_VISIBLE_DEVICES is in the process, if it isn't what it is here: empty for a
        process that must not see a GPU.
    """

    def __init__(self, visible: str | None = None) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._visible = visible

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Calls `function` in the process and returns a future of its result or of its
        exception.
        """
        if self._pool is None:
            start = get_context("spawn")
            with shield_children():  # a pool starts a process that keeps track of its semaphores
                self._pool = ProcessPoolExecutor(
                    1, start, _begin, (allowed_cores().amount, self._visible)
                )
        with shield_children():
            return self._pool.submit(function, *args, **kwargs)

    def restart(self) -> None:
        """Ends the process once it has answered all calls; the next call starts another one."""
        if self._pool is not None:
            self._end(self._pool)
            self._pool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is None:
            return
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            for process in self._pool._processes.values():
                process.kill()
        self._end(self._pool)

    def _end(self, pool: ProcessPoolExecutor) -> None:
        # os._exit ends the process at once. An orderly exit would take torch a second or two.
        with suppress(BrokenProcessPool):
            pool.submit(os._exit, 0)
        pool.shutdown()


def _begin(threads: int, visible: str | None) -> None:
    """Makes this process end with its parent, and torch, before it is imported, see these GPUs, use
    a private folder, and so many threads where nobody asks for fewer. By itself torch sees all
    cores of the machine, and no CPU quota.
    """
    if visible is not None:
        os.environ[VISIBLE] = visible
    follow_parent()
    keep_compiled_private()
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


def check_start(config: TrialConfig, *, fetch: bool = True) -> bool:
    """Builds the network of `config` and reads its weights, and returns whether these are on the
    disk, where the workers find them. Raises `ProbeError` where either fails.

    fetch: whether weights that aren't on the disk are downloaded first; otherwise they aren't read.
    """
    from trainables.models import network, pretrained
    from trainables.models.base import NetworkError, WeightsError

    try:
        built = network.check(config)
        here = fetch or pretrained.on_disk(config)
        if here:
            pretrained.check(config, built)
    except (NetworkError, WeightsError) as error:
        raise ProbeError(str(error)) from error
    return here


def measure(config: TrialConfig, threads: int, half: str | None = None) -> Measurement:
    """Returns which precision trains this network faster with this many threads, and how fast,
    measured by a few steps. Where `config` names a precision, only that one is measured. On a GPU
    that can't hold a batch in float32, `auto` is the precision of 16 bits, and no rate is known.
    Raises `ProbeError` where the GPU computes nothing.

    half: the precision of 16 bits that is tried (default: the one for the device of this process).
    """
    from trainables.models.setup import default_device
    from trainables.profiling.precision import half_precision, resolve
    from trainables.training.memory import out_of_memory
    from trainables.training.process import prepare_process

    prepare_process(threads)  # as a trial's: EfficientNet-Lite0 trains 1.6 times as fast so
    try:
        found = resolve(config, threads, half)
    except RuntimeError as error:
        if default_device().type != "cuda":
            raise
        if not out_of_memory(error):
            _refuse(error)
        tried = half or half_precision(default_device()) or "float32"
        precision = tried if config.precision == "auto" else config.precision
        return Measurement(precision=precision, images_per_s={})
    return Measurement(precision=found.precision, images_per_s=found.images_per_s)


def describe_gpu(*, deterministic: bool) -> dict[str, Any]:
    """Returns the settings and versions that numbers on a GPU depend on, as trials have them, and
    whether NVIDIA's MPS is there; nothing where torch sees no GPU.
    """
    from trainables.models.setup import default_device
    from trainables.training.gpu_settings import apply_gpu_settings
    from trainables.training.gpu_settings import describe_gpu as describe

    device = default_device()
    apply_gpu_settings(deterministic, device)
    settings = describe(device)
    return {**settings, "mps": serves_mps()} if settings else {}


def measure_capture(config: TrialConfig) -> CaptureGain:
    """Returns what it gains to take each step of `config`, whose precision must be resolved, as one
    CUDA graph. Raises `ProbeError` where the GPU computes nothing.
    """
    from trainables.models.setup import default_device
    from trainables.profiling import captured_steps
    from trainables.training.memory import out_of_memory

    try:
        return captured_steps.measure_capture(config, default_device())
    except RuntimeError as error:
        if not out_of_memory(error):
            _refuse(error)
        return CaptureGain()


def measure_gpu(config: TrialConfig, *, freezes: bool, captured: bool) -> GpuNeed:
    """Returns what a training of `config`, whose precision must be resolved, needs of a GPU.

    freezes: whether any trial freezes stages, whose output is stored on the GPU then.
    captured: whether steps are captured as a CUDA graph, which keeps its memory.

    Raises `ProbeError` where not even a part of a batch fits, and where the GPU computes nothing.
    """
    from trainables.models.setup import default_device
    from trainables.profiling.gpu_memory import measure_need
    from trainables.training.memory import out_of_memory

    try:
        return measure_need(config, default_device(), freezes=freezes, captured=captured)
    except RuntimeError as error:  # torch's out-of-memory error is one
        if not out_of_memory(error):
            _refuse(error)
        raise ProbeError(
            f"One trial must fit on a GPU, but the largest of the space with {config.network}, an "
            f"image_size of {config.image_size}, doesn't even in parts of a batch ({error}); lower "
            "image_size with --set, or train on cores with --gpus-per-trial 0."
        ) from error


def _refuse(error: RuntimeError) -> NoReturn:
    raise ProbeError(
        f"A training step must run on the GPU, but doesn't ({last_lines(str(error))}); mend that, "
        "which is often a driver or a build of torch that doesn't fit, or train on cores with "
        "--gpus-per-trial 0."
    ) from error
