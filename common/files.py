"""Files that are complete or absent, and those of torch's looked through before they are read."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Lets `write` fill a temporary file beside `path`, flushes it to the disk, renames it.

    Missing folders are made. Whatever goes wrong, `path` keeps its old content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_archive(path: Path) -> None:
    """Looks through a zip archive that `torch.save` is said to have written.

    Torch writes checksums and never compares them, and it unpacks what `torch.save` never packs,
    however large that becomes. Raises `ValueError`, and whatever zipfile raises for damage.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("it unpacks to more than it is")
        if (name := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {name} in it is wrong")
