"""Checkpoints written beside the training that they belong to."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from torch.optim import Optimizer

from results.records import EpochMetrics
from trainables.models.network import Network
from trainables.training import checkpoint
from trainables.training.auxiliary_state import NOTHING, AuxiliaryState

SAVE_EVERY_S = 30.0
"""What a killed training loses at most, in seconds, besides the epoch that it was in."""


class CheckpointWriter:
    """Writes one training's checkpoints to `path`, by a thread of its own.

    As a context it removes what a killed training left half written, and at its end finishes the
    write that is under way. `save` copies what is to be written and returns; the file is there,
    whole, once `wait` has returned. What goes wrong while writing is raised there, or by the next
    `save`. `auxiliary` is saved with each of them. `sent` is called by that thread with each file
    that was written, and counts as writing.
    """

    # A training whose files are sent on is on a node that may go, as a spot instance does, mostly
    # without a word to Ray. So it saves each epoch, and loses one that has ended at most. Sending
    # goes on beside the next epoch, which waits only where it is the shorter of the two.

    def __init__(
        self,
        path: Path,
        identity: str,
        auxiliary: AuxiliaryState = NOTHING,
        sent: Callable[[Path], object] | None = None,
    ) -> None:
        self._path, self._identity, self._auxiliary, self._sent = path, identity, auxiliary, sent
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self._saved_at = time.monotonic()

    def __enter__(self) -> Self:
        checkpoint.remove_leftovers(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def due(self) -> bool:
        """At an epoch's end, whether to save: where files are sent on always, and else where more
        than `SAVE_EVERY_S` seconds of training are in no checkpoint.
        """
        return self._sent is not None or time.monotonic() - self._saved_at >= SAVE_EVERY_S

    def save(self, network: Network, optimizer: Optimizer, history: list[EpochMetrics]) -> None:
        """Begins to write this moment's state, once the write before is over."""
        self.wait()
        self._saved_at = time.monotonic()
        content = checkpoint.snapshot(network, optimizer, history, self._identity, self._auxiliary)
        self._writing = self._thread.submit(self._write, content)

    def _write(self, content: dict[str, Any]) -> None:
        checkpoint.write(self._path, content)
        if self._sent:
            self._sent(self._path)

    def wait(self) -> None:
        """Returns when nothing is being written. Raises what the write raised."""
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def close(self) -> None:
        """Finishes the write that is under way and ends the thread; doesn't raise."""
        self._thread.shutdown()
