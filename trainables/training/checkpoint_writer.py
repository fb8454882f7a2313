"""Writes checkpoints in a thread beside the training."""

import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.optim import Optimizer

from results.records import EpochMetrics
from trainables.models.network import Network
from trainables.training import checkpoint
from trainables.training.auxiliary_state import NO_AUXILIARY_STATE, AuxiliaryState
from trainables.training.epoch import PartialEpoch, PauseError
from trainables.training.frozen_views import FrozenViews, Preparation

SAVE_EVERY_S = 30.0
"""A killed training loses at most this many seconds, besides the epoch that it was in."""

SAVE_WITHIN_S = 600.0
"""Within an epoch, a state is saved so many seconds after the last one."""

TELL_FIRST_S, TELL_EVERY_S = 10.0, 60.0
"""A training that prepares an epoch says how far it is after so many seconds, and then as often."""


class CheckpointWriter:
    """A `CheckpointWriter` writes one training's checkpoints to `path`, in a thread of its own.

    As a context, the writer first removes what a killed training left half written, and at its end
    finishes the present write. `save` copies the state and returns; the file is complete once
    `wait` has returned. An error of a write is raised by `wait`, or by the next `save`. Each file
    includes the state of `auxiliary`. The thread calls `on_saved` with each file that was written,
    and the write lasts until that call returns.
    """

    # With `on_saved`, the training runs on a node that may disappear, such as a spot instance, and
    # mostly does so without notice to Ray. So every epoch is saved, and at most one finished epoch
    # is lost. Sending a file runs beside the next epoch, which waits only if sending takes longer.

    def __init__(
        self,
        path: Path,
        identity: str,
        auxiliary: AuxiliaryState = NO_AUXILIARY_STATE,
        on_saved: Callable[[Path], object] | None = None,
    ) -> None:
        self._path, self._identity = path, identity
        self._auxiliary, self._on_saved = auxiliary, on_saved
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self._saved_at = time.monotonic()

    def __enter__(self) -> Self:
        checkpoint.remove_leftovers(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def due(self) -> bool:
        """Returns whether to save at the end of an epoch.

        With `on_saved`, every epoch is saved; otherwise an epoch is saved `SAVE_EVERY_S` seconds
        after the last save, or later.
        """
        return self._on_saved is not None or time.monotonic() - self._saved_at >= SAVE_EVERY_S

    def due_within(self) -> bool:
        """Returns whether to save within an epoch: `SAVE_WITHIN_S` seconds after the last save."""
        return time.monotonic() - self._saved_at >= SAVE_WITHIN_S

    def save(
        self,
        network: Network,
        optimizer: Optimizer,
        history: list[EpochMetrics],
        partial: PartialEpoch | None = None,
    ) -> None:
        """Copies the present state and begins to write it, once the previous write is over.

        Raises the error of the previous write, if there was one.
        """
        self.wait()
        self._saved_at = time.monotonic()
        content = checkpoint.snapshot(
            network, optimizer, history, self._identity, self._auxiliary, partial
        )
        self._writing = self._thread.submit(self._write, content)

    def _write(self, content: dict[str, Any]) -> None:
        """Writes a snapshot to the file, then calls `on_saved`; this runs in the writer's
        thread.
        """
        checkpoint.write(self._path, content)
        if self._on_saved:
            self._on_saved(self._path)

    def wait(self) -> None:
        """Waits until nothing is being written. Raises the error of the write, if there was one."""
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def close(self) -> None:
        """Finishes the present write and ends the thread, without raising the write's error."""
        self._thread.shutdown()


def writing(
    checkpoint: Path | None,
    identity: str,
    auxiliary: AuxiliaryState,
    on_saved: Callable[[Path], object] | None,
) -> AbstractContextManager[CheckpointWriter | None]:
    """Returns what writes checkpoints during a block, or nothing where none are wanted."""
    if checkpoint is None:
        return nullcontext()
    return CheckpointWriter(checkpoint, identity, auxiliary, on_saved)


def save_part(
    writer: CheckpointWriter | None,
    network: Network,
    optimizer: Optimizer,
    history: list[EpochMetrics],
    device: torch.device,
    stop: Callable[[], bool],
    step: int,
    total: Tensor,
) -> None:
    """Saves a training within its epoch, after `step` steps with losses of the sum `total`, where
    that is due or `stop` asks for it. Raises `PauseError` in the second case.
    """
    paused = stop()
    if writer and (paused or writer.due_within()):
        part = PartialEpoch.after(step, total.item(), device)
        writer.save(network, optimizer, history, part)
        if paused:
            writer.wait()
    if paused:
        raise PauseError(f"is saved after step {step} of epoch {len(history) + 1}")


def prepare_epoch(
    writer: CheckpointWriter | None,
    network: Network,
    optimizer: Optimizer,
    history: list[EpochMetrics],
    begun: PartialEpoch | None,
    kept: Iterable[FrozenViews | None],
    stop: Callable[[], bool],
) -> Generator[Preparation, None, None]:
    """Computes what the next epoch needs of the outputs of frozen stages and isn't kept yet, and
    yields how far it is, now and then. Once `stop` returns true, saves the training, keeps the
    outputs so far, and raises `PauseError`. Nothing is saved before the first epoch, nor where the
    checkpoint already has a part of the next one, `begun`.
    """
    tell_at, told = time.monotonic() + TELL_FIRST_S, ""
    for views in filter(None, kept):
        with closing(views.prepare(len(history) + 1)) as steps:
            for preparation in steps:
                if stop():
                    if writer and history and begun is None:
                        writer.save(network, optimizer, history)
                        writer.wait()
                    epoch = len(history) + 1
                    raise PauseError(f"stops before epoch {epoch}, and {preparation.text}")
                # A training that waits is silent, so that the watchdog's limit holds for it.
                if time.monotonic() >= tell_at and preparation.text != told:
                    yield preparation
                    tell_at, told = time.monotonic() + TELL_EVERY_S, preparation.text
