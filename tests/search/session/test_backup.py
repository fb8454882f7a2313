"""A run's records elsewhere: consistent, on time, and enough to go on from."""

import tarfile
import time
from pathlib import Path

import pytest

from common.remote import UriPlace
from results.store import RunError, read_epochs, read_trials
from search.session import backup
from search.session.backup import ARCHIVE, Backup, backup_place, restore_run
from search.session.resume import saved_options
from tests.search.study_on_curves import curve, open_study


class Slow(UriPlace):
    """Sends when `gate` says so; counts."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.sent, self.gate, self.error = 0, True, None

    def keep(self, path: Path, name: str) -> None:
        while not self.gate:
            time.sleep(0.01)
        if self.error:
            raise self.error
        self.sent += 1
        super().keep(path, name)


def searched(directory: Path, epochs: int) -> None:
    """The first epochs of a search."""
    study = open_study(directory)
    proposal = study.ask()
    for metrics in curve(proposal.config)[:epochs]:
        study.report(proposal.number, metrics)
    study.store.close()


@pytest.fixture
def run(tmp_path):
    directory = tmp_path / "runs" / "first"
    searched(directory, 2)
    (directory / "manifest.json").write_text(
        '{"schema_version": 1, "options": {"seed": 7}}', encoding="utf-8"
    )
    (directory / "checkpoints").mkdir()
    (directory / "checkpoints" / "0000.pt").write_bytes(b"large")
    return directory


def test_a_run_goes_on_from_what_was_kept(run, tmp_path):
    place, there = UriPlace(str(tmp_path / "storage" / "first")), tmp_path / "elsewhere" / "first"
    assert not restore_run(place, there)
    Backup(place, run, print).close()
    assert restore_run(place, there)
    kept = {path.name for path in there.iterdir()}
    assert kept == {path.name for path in run.iterdir()} - {"checkpoints", ".lock"}
    assert (read_trials(there), list(read_epochs(there))) == (
        read_trials(run), list(read_epochs(run))
    )  # fmt: skip
    resumed = open_study(there)
    proposal = resumed.ask()
    assert (proposal.number, proposal.epochs_done) == (0, 2)


def test_the_command_line_fetches_a_run_that_is_not_here(run, tmp_path):
    storage = str(tmp_path / "storage")
    Backup(backup.backup_place(storage, "first"), run, print).close()
    out = str(tmp_path / "elsewhere")
    assert saved_options({"name": "first", "out": out}, [{"storage": storage}])["seed"] == 7
    assert (tmp_path / "elsewhere" / "first" / "journal.log").exists()


def test_records_are_sent_now_and_then_and_never_two_at_a_time(run, tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "KEEP_EVERY_S", 0.05)
    place = Slow(str(tmp_path / "storage"))
    kept = Backup(place, run, print)
    kept.tick()
    assert kept._sent(wait=True)
    assert place.sent == 1  # the first time at once
    kept.tick()
    assert kept._sending is None  # it isn't time yet
    place.gate = False
    time.sleep(0.06)
    kept.tick()
    time.sleep(0.06)
    for _ in range(5):
        kept.tick()
    place.gate = True
    kept.close()
    assert place.sent == 3  # the one that was begun, and the last


def test_a_checkpoint_stays_as_long_as_the_records_that_are_kept_need_it(run, tmp_path):
    """A trial that has ended since the records were kept isn't trained again from its start."""
    said, dropped = [], []
    place = Slow(str(tmp_path / "storage"))
    kept = Backup(place, run, said.append, lambda name: dropped.append((name, place.sent)))
    kept.tick()
    kept.ended("0000.pt")
    assert kept._sent(wait=True)
    assert (place.sent, dropped) == (1, [])
    place.error = OSError("no route to host")
    kept._begin()
    assert kept._sent(wait=True)
    assert (len(said), dropped) == (1, [])
    place.error = None
    kept.ended("0001.pt")
    kept.close()
    assert dropped == [("0000.pt", 2), ("0001.pt", 2)]


def test_what_cannot_be_kept_is_said_and_the_search_goes_on(run, tmp_path):
    said = []
    place = Slow(str(tmp_path / "storage"))
    place.error = OSError("no route to host")
    Backup(place, run, said.append).close()
    assert len(said) == 1
    assert f"couldn't be copied to {tmp_path / 'storage'} (no route to host); they are" in said[0]


def test_damaged_records_are_named(tmp_path):
    (tmp_path / ARCHIVE).write_bytes(b"not a tar")
    with pytest.raises(RunError, match=r"run\.tar at .* must be a run's records, but is damaged"):
        restore_run(UriPlace(str(tmp_path)), tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("kind", ["above", "link"])
def test_what_is_no_file_of_a_run_is_refused(tmp_path, kind):
    member = tarfile.TarInfo("../above" if kind == "above" else "trials.jsonl")
    if kind == "link":
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    (tmp_path / "kept" / "run").mkdir(parents=True)
    with tarfile.open(tmp_path / "kept" / "run" / ARCHIVE, "w") as archive:
        archive.addfile(member)
    with pytest.raises(RunError, match="is no file of a run"):
        restore_run(backup_place(str(tmp_path / "kept"), "run"), tmp_path / "here" / "run")
    assert list(tmp_path.rglob("above")) == []
    assert list((tmp_path / "here" / "run").iterdir()) == []
