"""The training images against their checksum: a flipped bit would spoil a search in silence."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from datasets.access import TRAIN_FILE
from datasets.manifest import verify


class Verifying:
    """Compares the file of training images with the manifest while Ray starts, in a thread.

    Of 100,000 images of 64 px it is a second of one core, and the trials find them in the page
    cache. The test images stay closed.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="verify")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(wait=True)

    def begin(self, data: Path) -> None:
        """Begins to read the dataset prepared in `data`."""
        self._reading = self._thread.submit(verify, data, {TRAIN_FILE})

    def outcome(self) -> None:
        """Returns when all is read. Raises `DatasetError` where a byte differs."""
        self._reading.result()
