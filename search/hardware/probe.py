"""Asks torch, before a search, what only torch knows. A process of its own answers, because the
driver doesn't import torch.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from typing import ParamSpec, Self, TypeVar

from common.allowance import allowed_cores
from common.errors import UserError
from common.private_folder import keep_compiled_private
from common.signals import follow_parent, shield_children
from search.hardware.allocation import gpu_share
from search.hardware.calibration import Measurement
from trainables.config import TrialConfig

P = ParamSpec("P")
T = TypeVar("T")


class ProbeError(UserError):
    """Reports that the baseline can't be trained on this machine. The message names the reason and
    the remedy.
    """


class TorchProcess:
    """Runs functions that need torch in one process of their own, which starts at the first call.

    Leaving the context waits for all submitted calls, but after an interruption it ends them.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Calls `function` in the process and returns a future of its result or of its
        exception.
        """
        if self._pool is None:
            start = get_context("spawn")
            with shield_children():  # a pool starts a process that keeps track of its semaphores
                self._pool = ProcessPoolExecutor(1, start, _begin, (allowed_cores().amount,))
        with shield_children():
            return self._pool.submit(function, *args, **kwargs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is None:
            return
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            for process in self._pool._processes.values():
                process.kill()
        # os._exit ends the process at once. An orderly exit would take torch a second or two.
        with suppress(BrokenProcessPool):
            self._pool.submit(os._exit, 0)
        self._pool.shutdown()


def _begin(threads: int) -> None:
    """Makes this process end with its parent, and torch, before it is imported, use a private
    folder, and so many threads where nobody asks for fewer. By itself torch sees all cores of the
    machine, and no CPU quota.
    """
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


def measure(config: TrialConfig, threads: int) -> Measurement:
    """Returns which precision trains this network faster with this many threads, and how fast,
    measured by a few steps. Where `config` names a precision, only that one is measured.
    """
    from trainables.profiling.precision import resolve

    found = resolve(config, threads)
    return Measurement(precision=found.precision, images_per_s=found.images_per_s)


def measure_gpu(config: TrialConfig) -> float:
    """Returns the share of a GPU (0…1) that a trial of `config` needs. The precision `auto` counts
    as float32. Raises `ProbeError` where the trial doesn't fit on a GPU.
    """
    from trainables.models.setup import default_device
    from trainables.profiling.gpu_memory import needed_bytes

    if config.precision == "auto":
        config = config.but(precision="float32")
    try:
        return gpu_share(*needed_bytes(config, default_device()))
    except RuntimeError as error:  # torch's out-of-memory error is one
        raise ProbeError(
            f"One trial must fit on a GPU, but the largest of the space doesn't ({error}); lower "
            "image_size or set a micro_batch_size with --set."
        ) from error
