"""Repeats a training step on a GPU as one CUDA graph, which the host starts by a single call.

A step of a ResNet-18 consists of hundreds of operations. A large GPU computes them faster than a
core can start them one by one: on an H200 whose core took 11 ms to start a step of 64 images at 64
px, the same step took 1.8 ms as a graph (`results/published/gpu.md`).
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from trainables.training.memory import out_of_memory

Step = Callable[[Tensor, Tensor], Tensor]
"""A step takes a batch of a training, images and labels, and returns the loss, float32 ()."""

WARM_UP = 3
"""So many steps are taken one operation at a time before one is captured. They make what a step
makes once: the optimizer's state, constants, cuDNN's choice of algorithms.
"""

_log = logging.getLogger(__name__)


class StepGraph:
    """A `StepGraph` takes the steps of one training, whose batches all have one shape.

    The first `WARM_UP` steps run as they are. The next one is captured: its operations are recorded
    with the places of their tensors, and nothing is computed. From then on, each step copies its
    batch to the recorded place and repeats the record. So a step may do nothing that the record
    lacks: no value may pass through the host, and random draws must come from the GPU's generator,
    which goes on as if the operations had been started one by one. The weights must stay where they
    are, and the learning rate must be a tensor (`make_optimizer`).

    A step that can't be captured, as a library's network may wait for the host, is taken as it is
    from then on, with a warning in the log.
    """

    def __init__(self, optimizer: Optimizer, device: torch.device) -> None:
        self._optimizer, self._device = optimizer, device
        self._stream = _capture_stream(device)
        self._warm_ups, self._plain = WARM_UP, False
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: tuple[Tensor, ...] = ()
        self._loss = torch.empty(0)

    @property
    def captured(self) -> bool:
        """Returns whether steps are taken as one graph by now."""
        return self._graph is not None

    def take(self, step: Step, images: Tensor, labels: Tensor) -> Tensor:
        """Takes `step` on a batch, and returns the loss, which the next step may overwrite.

        `step` must be the same function at every call.
        """
        if self._plain:
            return step(images, labels)
        if self._warm_ups:
            self._warm_ups -= 1
            with self._beside():
                return step(images, labels)
        if self._graph is None and not self._capture(step, images, labels):
            return step(images, labels)
        assert self._graph is not None
        for place, given in zip(self._batch, (images, labels), strict=True):
            place.copy_(given)
        self._graph.replay()
        return self._loss

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """Runs the block on the stream that the capture will use, in order with the present one, as
        PyTorch's notes on CUDA graphs ask for.
        """
        present = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(present)
        with torch.cuda.stream(self._stream):
            yield
        present.wait_stream(self._stream)

    def _capture(self, step: Step, images: Tensor, labels: Tensor) -> bool:
        """Records `step`, and returns whether that succeeded. Raises an error that `out_of_memory`
        recognises where memory ran out.
        """
        self._batch = tuple(torch.empty_like(tensor) for tensor in (images, labels))
        graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
        try:
            with (
                _undone_by_failure(self._device, pool),
                self._capturable(),
                # Another thread, such as one that writes a checkpoint, may use the GPU meanwhile.
                torch.cuda.graph(graph, pool, self._stream, capture_error_mode="thread_local"),
            ):
                self._loss = step(*self._batch)
        except RuntimeError as error:
            cause = error.__context__ or error  # what ended the capture hides what spoilt it
            if out_of_memory(error) or out_of_memory(cause):
                raise
            _log.warning("Steps run one operation at a time: %s", cause)
            self._plain, self._batch = True, ()
            return False
        self._graph = graph
        return True

    @contextmanager
    def _capturable(self) -> Iterator[None]:
        """Tells the optimizer that it is captured; Adam refuses otherwise, and warns at steps that
        aren't.
        """
        groups = [group for group in self._optimizer.param_groups if "capturable" in group]
        for group in groups:
            group["capturable"] = True
        try:
            yield
        finally:
            for group in groups:
                group["capturable"] = False


@cache
def _capture_stream(device: torch.device) -> torch.cuda.Stream:
    """Returns the stream on which this process captures: one for all trainings, because cuBLAS
    keeps a workspace of 32 MiB and more for each stream that it has met.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def _undone_by_failure(device: torch.device, pool: Any) -> Iterator[None]:
    """Gives this process, if a capture in the block fails, the present stream and generator again,
    and lets later tensors lie outside of `pool`.

    torch ends a failed capture by an error, and leaves all three as they were within it: draws then
    fail, at least up to torch 2.11. This has not been seen on a GPU.
    """
    present = torch.cuda.current_stream(device)
    generator = torch.cuda.default_generators[present.device_index]
    state = generator.clone_state()
    try:
        yield
    except BaseException:
        torch.cuda.set_stream(present)
        generator.graphsafe_set_state(state)
        with suppress(RuntimeError, AttributeError):  # it has ended, or has another name
            torch._C._cuda_endAllocateToPool(present.device_index, pool)
        raise
