"""A study on a disk that fills up while it runs, again and again; prints what came of it as JSON.

python -m tests.drills.full_records DISK
"""

import errno
import json
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from common.files import describe_full_disk, write_atomically
from search.study.study import Study
from tests.drills.small_disk import fill, free
from tests.search.study.test_study_resumed import TRIALS, drive, everything
from tests.search.study_on_curves import open_study
from trainables.config import TrialConfig

FULL_AFTER = (1, 4, 9, 15, 22, 30)
"""Recorded epochs after which no page is left."""


def fill_after(epochs: int, study: Study[TrialConfig], disk: Path) -> None:
    add_epoch, done = study.store.add_epoch, 0

    def counted(*given: Any) -> None:
        nonlocal done
        done += 1
        if done == epochs:
            fill(disk)
        add_epoch(*given)

    study.store.add_epoch = counted  # type: ignore[method-assign]


def filled(disk: Path, after: int) -> dict[str, Any]:
    """A study that meets the full disk, and goes on when there is room again."""
    directory = disk / f"{after}" / "run"
    study = open_study(directory, trials=TRIALS)
    fill_after(after, study, disk)
    try:
        drive(study)
    except OSError as error:
        where = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        said = describe_full_disk(error, directory)
        found = {"errno": errno.errorcode[error.errno or 0], "said": said,
                 "where": next(n for n in where[::-1] if n in WRITERS)}  # fmt: skip
    with suppress(OSError):
        study.store.close()  # type: ignore[attr-defined]
    torn = [
        name
        for name in ("journal.log", "epochs.jsonl", "trials.jsonl")
        if not (directory / name).read_bytes().endswith(b"\n")
    ]
    free(disk)
    resumed = open_study(directory, trials=TRIALS)
    drive(resumed)
    return found | {"torn": torn, "everything": repr(everything(directory, resumed))}


WRITERS = ("add_epoch", "add_trial", "add_error", "append_logs")


def checkpoint(disk: Path) -> dict[str, Any]:
    """An old checkpoint that a new one, too large for what is left, would replace."""
    path = disk / "checkpoints" / "0000.pt"
    write_atomically(path, lambda file: file.write(b"old"))
    fill(disk)
    try:
        write_atomically(path, lambda file: file.write(bytes(1 << 16)))
    except OSError as error:
        found = errno.errorcode[error.errno or 0]
    kept, beside = path.read_bytes().decode(), [each.name for each in path.parent.iterdir()]
    free(disk)
    return {"errno": found, "kept": kept, "beside": beside}


def main(disk: Path) -> None:
    whole = open_study(disk / "whole" / "run", trials=TRIALS)
    drive(whole)
    wanted = repr(everything(disk / "whole" / "run", whole))
    told = {"whole": wanted, "checkpoint": checkpoint(disk)}
    print(json.dumps(told | {"filled": [filled(disk, after) for after in FULL_AFTER]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
