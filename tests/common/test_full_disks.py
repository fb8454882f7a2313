"""Disks that take nothing more: what is said, and that a run is given free all the same."""

import errno
from pathlib import Path

import pytest

from common.files import causes_of, describe_full_disk
from results.store import RunError, RunStore, check_writable, read_epochs
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
    store._epochs.close()
    store._epochs = Path("/dev/full").open("a", encoding="utf-8")  # noqa: SIM115
    with pytest.raises(OSError, match="No space left"):
        store.add_epoch(0, metrics(2, 0.6))
    with pytest.raises(OSError, match="No space left"):
        store.close()
    assert store._trials.closed
    again = RunStore(tmp_path / "run")
    again.add_epoch(0, metrics(2, 0.7))
    again.close()
    assert [m.val_top1 for _, m in read_epochs(tmp_path / "run")] == [0.5, 0.7]


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
