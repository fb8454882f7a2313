"""Makes FFCV's reading thread safe: it can be stopped at any time, and its errors are raised."""

import atexit
import queue
import threading
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from datasets.loading.ffcv_import import Compiler, EpochIterator, Loader
from datasets.spec import DatasetError

Batch = tuple[torch.Tensor, torch.Tensor]
"""A batch consists of images, uint8 (B, H, W, 3), and labels, int64 (B,)."""
POLL_S = 0.1
"""A thread that waits for the other one checks at this interval, in seconds, whether to give up."""


class Epoch(EpochIterator):  # type: ignore[misc]  # FFCV is untyped
    """An `Epoch` is one pass over `order` in batches, which a thread of its own reads ahead.

    FFCV's own class has four faults that this one avoids. An exception ends its thread unseen, and
    the consumer waits for ever. Its thread ends half a second after a request to stop, or never.
    Its batches are views into a ring of buffers that the thread overwrites. And its thread changes
    torch's number of threads.

    pinned: whether batches lie in pinned memory.
    """

    def __init__(
        self, loader: Loader, order: NDArray[np.int64], batch_size: int, *, pinned: bool = False
    ) -> None:
        self.copy_out: Callable[[torch.Tensor], torch.Tensor] = (
            _copy_to_pinned if pinned else torch.clone
        )
        self.failure: BaseException | None = None
        self.stop_requested = threading.Event()
        # FFCV reads the batch size only when an epoch begins, so each epoch may have another.
        loader.batch_size = batch_size
        super().__init__(loader, order)
        _running.add(self)

    def run(self) -> None:
        """Reads batches into the queue until the end, a failure, or a call of `stop`."""
        slots = self.loader.batches_ahead + 2
        try:
            for number, indices in enumerate(self.iter_ixes):
                images, labels = self.run_pipeline(number, indices, number % slots, None)
                if not self._put((self.copy_out(images), self.copy_out(labels))):
                    return
            self._put(None)
        except BaseException as error:
            self.failure = error

    def _put(self, item: Batch | None) -> bool:
        """Puts an item into the queue. Returns false if `stop` was called before there was room."""
        while not self.stop_requested.is_set():
            try:
                self.output_queue.put(item, timeout=POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def next_batch(self, deadline_s: float) -> Batch | None:
        """Returns the next batch, or `None` after the last one.

        Raises `DatasetError` if the thread failed, or gave no batch for `deadline_s` seconds.
        """
        give_up = time.monotonic() + deadline_s
        while True:
            alive = self.is_alive()
            try:
                return cast(Batch | None, self.output_queue.get(timeout=POLL_S if alive else 0.0))
            except queue.Empty:
                if not alive:
                    raise DatasetError(
                        f"Reading {self.loader.fname} failed: {self.failure!r}; check the file "
                        "with `python -m datasets.prepare NAME --data DIR --verify`."
                    ) from self.failure
                if time.monotonic() > give_up:
                    raise DatasetError(
                        f"Reading {self.loader.fname} gave no batch for {deadline_s:g} s; "
                        "check the disk that it lies on."
                    ) from None

    def stop(self, deadline_s: float) -> None:
        """Ends the thread and releases its buffers; this may happen at any time, and more than
        once.

        deadline_s: how long to wait for the thread's end, in seconds.
        """
        self.stop_requested.set()
        self.join(deadline_s)
        self.close()
        self.memory_allocations = None
        _running.discard(self)


def _copy_to_pinned(tensor: torch.Tensor) -> torch.Tensor:
    """Returns a copy in pinned memory, from which a GPU copies while the program goes on."""
    return torch.empty_like(tensor, pin_memory=True).copy_(tensor)


_running: set[Epoch] = set()
"""These epochs have been started and not been stopped."""


@atexit.register
def _stop_all() -> None:
    """Stops all epochs at exit: a thread that reads while Python shuts down aborts the process."""
    for epoch in list(_running):
        epoch.stop(deadline_s=5.0)


_compiled: dict[Any, Any] = {}
"""This cache holds FFCV's compiled functions, by code, values and signature."""
_compile = Compiler.compile
"""FFCV's own compile function, which `_compile_once` calls."""


def _compile_once(code: FunctionType, signature: Any = None) -> Any:
    """Compiles a function as `Compiler.compile` does, once per process for equal code and values.

    Two functions count as equal if they have the same code, closed-over values, defaults and
    signature.
    """
    closed_over = tuple(cell.cell_contents for cell in code.__closure__ or ())
    key = (code.__code__, closed_over, code.__defaults__, str(signature), Compiler.is_enabled)
    try:
        function = _compiled.get(key)
    except TypeError:  # a closed-over value isn't hashable
        return _compile(code, signature)
    if function is None:
        function = _compiled[key] = _compile(code, signature)
    return function


def _set_num_threads(count: int) -> None:
    """Sets FFCV's number of threads, but not torch's as FFCV does: that number belongs to the
    trainer.
    """
    Compiler.num_threads = count


Compiler.compile = staticmethod(_compile_once)
Compiler.set_num_threads = staticmethod(_set_num_threads)
