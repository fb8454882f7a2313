"""A run's records elsewhere: consistent, on time, and enough to go on from."""

import io
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


def member(name, data=b"", **changes):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, data


FOREIGN_MEMBERS = {
    "above": [member("../above", b"x")],
    "absolute": [member("/tmp/above", b"x")],
    "hidden": [member(".lock", b"x")],
    "checkpoint": [member("checkpoints/0000.pt", b"x")],
    "link": [member("trials.jsonl", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
    "hard link": [member("trials.jsonl", type=tarfile.LNKTYPE, linkname="epochs.jsonl")],
    "pipe": [member("trials.jsonl", type=tarfile.FIFOTYPE)],
    "device": [member("trials.jsonl", type=tarfile.CHRTYPE, devmajor=1, devminor=5)],
    "sparse": [member("trials.jsonl", pax_headers={
        "GNU.sparse.map": "0,1", "GNU.sparse.size": str(10**13), "GNU.sparse.numblocks": "1"})],
}  # fmt: skip
"""Kind -> members of which a run's archive has none."""


def stored(tmp_path, members, name="whole", **options):
    """The place of an archive of these members, after a file that a run has."""
    (tmp_path / "kept" / name).mkdir(parents=True)
    path = tmp_path / "kept" / name / ARCHIVE
    with tarfile.open(path, format=tarfile.PAX_FORMAT, **{"mode": "w"} | options) as archive:
        for info, data in [member("epochs.jsonl", b"{}"), *members]:
            archive.addfile(info, io.BytesIO(data))
    return backup_place(str(tmp_path / "kept"), name)


@pytest.mark.parametrize("kind", FOREIGN_MEMBERS)
def test_what_is_no_file_of_a_run_is_refused_and_nothing_stays(tmp_path, kind):
    place = stored(tmp_path, FOREIGN_MEMBERS[kind])
    with pytest.raises(RunError, match="is no file of a run"):
        restore_run(place, tmp_path / "here" / "run")
    assert list(tmp_path.rglob("above")) == []
    assert list((tmp_path / "here" / "run").iterdir()) == []


def test_members_that_exclude_one_another_and_too_many_are_refused(tmp_path, monkeypatch):
    for name, members in (
        ("twice", [member("epochs.jsonl", b"{}")]),
        ("inside of a file", [member("epochs.jsonl/more", b"{}")]),
    ):
        with pytest.raises(RunError, match="is damaged"):
            restore_run(stored(tmp_path, members, name), tmp_path / "run")
    many = [member(f"errors/{number}.txt", b"x") for number in range(9)]
    monkeypatch.setattr(backup, "MAX_MEMBERS", 9)
    with pytest.raises(RunError, match="it has more than 9 members"):
        restore_run(stored(tmp_path, many, "many"), tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
    monkeypatch.setattr(backup, "MAX_MEMBERS", 10)
    assert restore_run(backup_place(str(tmp_path / "kept"), "many"), tmp_path / "run")
    assert len(list((tmp_path / "run" / "errors").iterdir())) == 9


def test_a_compressed_archive_is_refused_before_it_unpacks(tmp_path):
    zeros = member("trials.jsonl", bytes(64 << 20))
    place = stored(tmp_path, [zeros], mode="w:gz")
    assert (tmp_path / "kept" / "whole" / ARCHIVE).stat().st_size < 1 << 20
    with pytest.raises(RunError, match="is damaged"):
        restore_run(place, tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_a_cut_archive_leaves_nothing_and_the_whole_one_is_restored_then(run, tmp_path):
    place, there = UriPlace(str(tmp_path / "storage")), tmp_path / "there"
    Backup(place, run, print).close()
    path = tmp_path / "storage" / ARCHIVE
    whole = path.read_bytes()
    for length in range(600, len(whole) - 10_240, 2_000):
        path.write_bytes(whole[:length])
        with pytest.raises(RunError, match="is damaged"):
            restore_run(place, there)
        assert list(there.iterdir()) == []
    path.write_bytes(whole)
    (there / ".restored" / "errors").mkdir(parents=True)  # of a process that was killed
    (there / "errors").mkdir()
    assert restore_run(place, there)
    assert {path.name for path in there.iterdir()} >= {"manifest.json", "epochs.jsonl"}
    assert not (there / ".restored").exists()
