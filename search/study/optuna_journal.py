"""Opens the journal of a run's Optuna study, and seals it, so that damage is noticed."""

from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from results.analysis.rung_values import JOURNAL, damage_error
from results.jsonl import cut_torn_line


def journal(directory: Path) -> Path:
    """Returns the path of a run's Optuna journal."""
    return directory / JOURNAL


def journal_storage(directory: Path) -> BaseStorage:
    """Returns Optuna's storage of a run, which a crash can't damage and `optuna-dashboard` can open
    while the run is going on. Raises `RunError` for a damaged journal.
    """
    path = journal(directory)
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError:
        raise
    except Exception as error:  # Optuna replays whatever it finds there
        raise damage_error(path, f"{type(error).__name__}: {error}") from error


def journal_seal(directory: Path) -> dict[str, int]:
    """Returns the length and the checksum of the journal's whole lines, by which `open_journal`
    recognises later whether these lines have changed.

    What a full disk left of a last line doesn't count: it is cut off when the journal is opened.
    """
    content = journal(directory).read_bytes()
    content = content[: content.rfind(b"\n") + 1]
    return {"bytes": len(content), "crc32": crc32(content)}


def open_journal(directory: Path, seal: Mapping[str, int] | None) -> BaseStorage:
    """Opens the storage of a run for writing, after cutting off a line that a killed writer left
    half. Raises `RunError` for a journal that doesn't begin with what was sealed.

    seal: the journal's seal of the moment when the search last ended in order, if it ever did.
    """
    path = journal(directory)
    if path.exists():
        cut_torn_line(path)
        content = path.read_bytes()[: seal["bytes"]] if seal else b""
        if seal and (len(content), crc32(content)) != (seal["bytes"], seal["crc32"]):
            raise damage_error(path, "it isn't as it was written")
    return journal_storage(directory)
