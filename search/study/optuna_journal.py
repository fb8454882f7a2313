"""The journal of a run's Optuna study: where it lies, how it is opened, and its seal."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from results.analysis.rung_values import JOURNAL, damage_error
from results.jsonl import cut_torn_line


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna logs every study and trial; our own monitor tells the same."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def journal(directory: Path) -> Path:
    """Where a run keeps its Optuna journal."""
    return directory / JOURNAL


def journal_storage(directory: Path) -> BaseStorage:
    """Optuna's storage of a run: crash-safe, and opened live by `optuna-dashboard`.

    Raises `RunError` for a damaged journal.
    """
    path = journal(directory)
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError:
        raise
    except Exception as error:  # Optuna replays whatever it finds there
        raise damage_error(path, f"{type(error).__name__}: {error}") from error


def journal_seal(directory: Path) -> dict[str, int]:
    """What tells later whether the journal, as far as it has come now, is still the same.

    Of whole lines: what a full disk left of a last one is cut off when the journal is opened.
    """
    content = journal(directory).read_bytes()
    content = content[: content.rfind(b"\n") + 1]
    return {"bytes": len(content), "crc32": crc32(content)}


def open_journal(directory: Path, seal: Mapping[str, int] | None) -> BaseStorage:
    """`journal_storage`, to be written: a line that a killed writer left half is cut off.

    `seal` is the journal's when the search was last ended in order, if it ever was. Raises
    `RunError` for a journal that doesn't begin as it was then.
    """
    path = journal(directory)
    if path.exists():
        cut_torn_line(path)
        content = path.read_bytes()[: seal["bytes"]] if seal else b""
        if seal and (len(content), crc32(content)) != (seal["bytes"], seal["crc32"]):
            raise damage_error(path, "it isn't as it was written")
    return journal_storage(directory)
