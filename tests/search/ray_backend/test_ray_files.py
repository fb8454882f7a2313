"""Where Ray's files lie: a link from the run's folder while Ray runs, and logs after an error."""

import os
import stat
from pathlib import Path

import pytest

from common.private_folder import PrivateFolder
from search.ray_backend import local_ray
from search.ray_backend.local_ray import keep_logs, link_ray, stop_ray


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The logs of a Ray that runs: two, one of which is large, and an empty one."""
    path = tmp_path / "ray-12345678"
    found = path / "s" / "session_latest" / "logs"
    found.mkdir(parents=True)
    (found / "raylet.out").write_bytes(b"first" + b"." * (200 << 10) + b"last")
    (found / "gcs_server.out").write_bytes(b"all")
    (found / "raylet.err").touch()
    monkeypatch.setattr(local_ray, "_folders", [PrivateFolder(path, os.open(path, os.O_RDONLY))])
    return found


def test_the_run_leads_to_ray_s_files_while_ray_runs(tmp_path: Path, logs: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "ray").symlink_to(tmp_path / "gone")  # a search that was killed left it
    link_ray(run)
    assert (run / "ray" / "logs").resolve() == logs
    stop_ray(run)
    assert list(run.iterdir()) == []
    assert not logs.exists()
    link_ray(run)
    assert list(run.iterdir()) == []


def test_the_ends_of_the_logs_stay_after_an_error(tmp_path: Path, logs: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    link_ray(run)
    assert keep_logs(run)
    stop_ray(run)
    assert not logs.exists()
    assert stat.S_IMODE((run / "ray").stat().st_mode) == 0o700
    kept = {each.name: each.read_bytes() for each in (run / "ray" / "logs").iterdir()}
    assert sorted(kept) == ["gcs_server.out", "raylet.out"]
    assert kept["gcs_server.out"] == b"all"
    assert len(kept["raylet.out"]) == 128 << 10
    assert kept["raylet.out"].endswith(b"last")
    assert not keep_logs(run)


def test_a_session_that_goes_on_replaces_the_logs_of_an_error(tmp_path: Path, logs: Path) -> None:
    run = tmp_path / "run"
    (run / "ray" / "logs").mkdir(parents=True)
    link_ray(run)
    assert (run / "ray" / "logs").resolve() == logs
