"""Disks that take nothing more: what is said, and that a run is given free all the same."""

import errno
import os
from pathlib import Path

import pytest

from common.files import causes_of, describe_full_disk
from results.analysis.run_records import read_run_records
from results.records import TrialRecord, TrialState
from results.store import RunError, RunStore, read_epochs
from search.session.checks import check_writable
from tests.search.study_on_curves import metrics

RUN = Path("runs/a")


def wrapped(error: Exception) -> Exception:
    """As Tune does it, twice."""
    try:
        try:
            raise error
        except Exception:
            raise RuntimeError("Traceback …") from None
    except Exception as outer:
        outer.__suppress_context__ = False
        try:
            raise ValueError("again") from outer
        except ValueError as outermost:
            return outermost


@pytest.mark.parametrize("wrap", [lambda error: error, wrapped])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left"), "The disk that holds runs/a is full; free some"),
        (OSError(errno.ENOSPC, "No space left", "/x/y.pt"), "The disk that holds /x/y.pt is full;"),
        (OSError(errno.EDQUOT, "Quota"), "The disk that holds runs/a has no more room for this"),
        (OSError(errno.EROFS, "Read-only", "/x"), "The disk that holds /x is read-only; make it"),
    ],
)
def test_one_sentence_with_the_remedy(error, said, wrap):
    told = describe_full_disk(wrap(error), RUN)
    assert told.startswith(said)
    assert told.endswith("go on with --resume runs/a: all that was recorded is kept.")


@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O"), ValueError("no space left")])
def test_other_errors_are_no_refusal(error):
    assert describe_full_disk(error, RUN) is None


def test_what_led_to_an_error_is_found_behind_it():
    """As Ray's loop raises it: a text with a traceback, and the first error behind that."""
    first = RunError("The disk that holds runs/a is full")
    last = ValueError("Traceback (most recent call last): …")
    last.__context__ = first
    assert list(causes_of(last)) == [last, first]


def test_a_record_that_the_disk_refuses_is_cut_off_and_the_run_is_free(tmp_path):
    """/dev/full refuses each write as a full disk does."""
    store = RunStore(tmp_path / "run")
    store.add_epoch(0, metrics(1, 0.5))
    store._epochs._file.close()
    store._epochs._file = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115
    with pytest.raises(OSError, match="No space left"):
        store.add_epoch(0, metrics(2, 0.6))
    store.close()
    assert store._trials._file.closed
    again = RunStore(tmp_path / "run")
    again.add_epoch(0, metrics(2, 0.7))
    again.close()
    assert [m.val_top1 for _, m in read_epochs(tmp_path / "run")] == [0.5, 0.7]


def test_nothing_stays_of_a_record_that_is_not_flushed(tmp_path, monkeypatch):
    store = RunStore.create(tmp_path / "run", {"name": "run"})
    store.add_trial(TrialRecord(number=0, state=TrialState.RUNNING, params={}, config={}))
    store.add_epoch(0, metrics(1, 0.5))
    before = (tmp_path / "run" / "epochs.jsonl").read_bytes()

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="No space left"):
            store.add_epoch(0, metrics(2, 0.6))
    assert (tmp_path / "run" / "epochs.jsonl").read_bytes() == before
    store.add_epoch(0, metrics(2, 0.7))
    store.write_manifest({"name": "run"})
    store.close()
    assert [m.val_top1 for _, m in read_run_records(tmp_path / "run").recorded] == [0.5, 0.7]


def test_whether_a_run_can_be_written_is_known_before_anything_is_made(tmp_path):
    check_writable(tmp_path / "new" / "run")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"file/run must be writable, but .*file isn't; make it"):
        check_writable(tmp_path / "file" / "run")
    store = RunStore(tmp_path / "run")
    with pytest.raises(RunError, match="is being written by another process; wait for it, or"):
        check_writable(tmp_path / "run")
    store.close()
    check_writable(tmp_path / "run")


def test_what_killed_writers_left_beside_the_files_is_removed(tmp_path):
    RunStore(tmp_path / "run").close()
    (tmp_path / "run" / ".manifest.json.123.tmp").touch()
    RunStore(tmp_path / "run").close()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        ".lock", "epochs.jsonl", "trials.jsonl",
    }  # fmt: skip
