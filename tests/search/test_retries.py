"""Trials that break off on Ray: what is tried again, how, and what is recorded of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from results.records import StopReason, TrialState
from results.store import read_epochs, read_trials
from tests.search import search_with_failures
from tests.search.test_search import ENVIRONMENT, ROOT


@pytest.mark.slow
def test_a_search_outlives_trials_that_break_off(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "tests.search.search_with_failures", str(directory)],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    records = {round(r.config["dropout"], 1): r for r in read_trials(directory).values()}
    assert len(records) == len(read_trials(directory)) == len(search_with_failures.KINDS)

    failed = records.pop(search_with_failures.NEVER_FITS)
    assert (failed.state, failed.reason) == (TrialState.FAILED, StopReason.MEMORY)
    assert failed.epochs == 1
    assert "MemoryError: 2 GiB" in failed.detail
    stalled = records.pop(search_with_failures.HANGS)
    assert (stalled.state, stalled.reason) == (TrialState.FAILED, StopReason.STALLED)
    assert stalled.epochs == 1
    assert {r.state for r in records.values()} == {TrialState.COMPLETE}
    assert {r.epochs for r in records.values()} == {2}
    assert records[search_with_failures.FINE].retried is None
    in_pieces = records[search_with_failures.FITS_IN_PIECES]
    assert in_pieces.config["micro_batch_size"] == 32
    assert in_pieces.config["batch_size"] == 64
    assert "DefaultCPUAllocator" in in_pieces.retried
    assert records[search_with_failures.BREAKS_ONCE].retried == "OSError: no disk"
    assert "worker process has died" in records[search_with_failures.DIES_ONCE].retried
    assert "reported nothing for" in records[search_with_failures.HANGS_ONCE].retried

    seen = [(number, epoch.epoch) for number, epoch in read_epochs(directory)]
    assert len(seen) == len(set(seen)) == 12
    kept = {path.name for path in (directory / "errors").iterdir()}
    assert len(kept) == 6
