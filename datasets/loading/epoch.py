"""FFCV's reading thread made safe: it can be left at any time, and it never fails in silence."""

import atexit
import queue
import threading
import time
from types import FunctionType
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from datasets.loading.ffcv_import import Compiler, EpochIterator, Loader
from datasets.spec import DatasetError

Batch = tuple[torch.Tensor, torch.Tensor]
POLL_S = 0.1


class Epoch(EpochIterator):  # type: ignore[misc]  # FFCV is untyped
    """One pass over `order` in batches, read ahead by a thread of its own.

    FFCV's own `run` dies unseen with any exception, leaving its consumer to wait for ever; it
    ends only half a second after it was told to, if ever; it hands out views into a ring of
    buffers that it overwrites; and it sets torch's threads. This one does none of these.
    """

    def __init__(self, loader: Loader, order: NDArray[np.int64], batch_size: int) -> None:
        self.failure: BaseException | None = None
        self.left = threading.Event()
        # FFCV reads the batch size when an epoch begins, never after.
        loader.batch_size = batch_size
        super().__init__(loader, order)
        _running.add(self)

    def run(self) -> None:
        """The reading thread: batches into the queue until the end, a failure, or `leave`."""
        slots = self.loader.batches_ahead + 2
        try:
            for number, indices in enumerate(self.iter_ixes):
                images, labels = self.run_pipeline(number, indices, number % slots, None)
                if not self._put((images.clone(), labels.clone())):
                    return
            self._put(None)
        except BaseException as error:
            self.failure = error

    def _put(self, item: Batch | None) -> bool:
        while not self.left.is_set():
            try:
                self.output_queue.put(item, timeout=POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def next_batch(self, deadline_s: float) -> Batch | None:
        """The next batch, or `None` after the last.

        Raises `DatasetError` when the thread failed, or gave nothing for `deadline_s` seconds.
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
                        "with `python -m datasets.prepare NAME --verify`."
                    ) from self.failure
                if time.monotonic() > give_up:
                    raise DatasetError(
                        f"Reading {self.loader.fname} gave no batch for {deadline_s:g} s; "
                        "check the disk that it lies on."
                    ) from None

    def leave(self, deadline_s: float) -> None:
        """Ends the thread and lets go of its buffers; at any time, more than once."""
        self.left.set()
        self.join(deadline_s)
        self.close()
        self.memory_allocations = None
        _running.discard(self)


_running: set[Epoch] = set()


@atexit.register
def _leave_all() -> None:
    """A thread that still reads while the interpreter is taken down aborts the process."""
    for epoch in list(_running):
        epoch.leave(deadline_s=5.0)


_compiled: dict[Any, Any] = {}
_compile = Compiler.compile


def _compile_once(code: FunctionType, signature: Any = None) -> Any:
    """`Compiler.compile` with a memory: equal code over equal values is compiled once a process."""
    closed_over = tuple(cell.cell_contents for cell in code.__closure__ or ())
    key = (code.__code__, closed_over, code.__defaults__, str(signature), Compiler.is_enabled)
    try:
        known = _compiled.get(key)
    except TypeError:  # something unhashable was closed over
        return _compile(code, signature)
    if known is None:
        known = _compiled[key] = _compile(code, signature)
    return known


def _set_num_threads(count: int) -> None:
    """`Compiler.set_num_threads` without its side effect: torch's threads are the trainer's."""
    Compiler.num_threads = count


Compiler.compile = staticmethod(_compile_once)
Compiler.set_num_threads = staticmethod(_set_num_threads)
