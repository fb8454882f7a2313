"""What only torch can say before a search, asked in a process of its own: the driver has none."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from typing import ParamSpec, Self, TypeVar

from common.errors import UserError
from search.hardware.allocation import gpu_share
from search.hardware.calibration import Measurement
from trainables.config import TrialConfig

P = ParamSpec("P")
T = TypeVar("T")


class ProbeError(UserError):
    """The baseline can't be trained on this machine; the message says why and what to do."""


class TorchProcess:
    """One process for the functions below, started when it is first needed.

    As a context, it finishes what was submitted.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Has `function` called there; its result, or what it raises, is the future's."""
        self._pool = self._pool or ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        return self._pool.submit(function, *args, **kwargs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is None:
            return
        # At once: a second or two go by when the interpreter takes torch down.
        with suppress(BrokenProcessPool):
            self._pool.submit(os._exit, 0)
        self._pool.shutdown()


def check_start(config: TrialConfig) -> None:
    """Builds the network, fetches its weights for the workers to find. Raises `ProbeError`."""
    from trainables.models import network, pretrained
    from trainables.models.base import NetworkError

    try:
        pretrained.check(config, network.check(config))
    except (NetworkError, pretrained.WeightsError) as error:
        raise ProbeError(str(error)) from error


def measure(config: TrialConfig, threads: int) -> Measurement:
    """Which precision trains this network faster with `threads` threads, by a few steps of each."""
    from trainables.profiling.precision import resolve

    found = resolve(config, threads)
    return Measurement(precision=found.precision, images_per_s=found.images_per_s)


def measure_gpu(config: TrialConfig) -> float:
    """The share of a GPU that a trial of `config` needs; `auto` precision counts as float32."""
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
