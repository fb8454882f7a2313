"""Ctrl-C in a terminal, once and twice: the signal reaches the whole process group."""

import os
import signal
import time
from pathlib import Path

import pytest

from results.store import read_epochs
from tests.drills.searches import (
    PATIENCE_S,
    epochs_in,
    family,
    resume,
    run,
    search,
    start,
    survivors,
    wait_for,
)
from tests.search.test_search import numbers


@pytest.mark.drill
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("presses", [1, 2])
def test_once_ends_with_a_summary_and_twice_at_once(
    tmp_path: Path, demo_data: Path, presses: int
) -> None:
    directory = tmp_path / "run"
    process = start(search(tmp_path, demo_data))
    wait_for(lambda: epochs_in(directory) >= 2, process)
    started, began = family(process), time.monotonic()
    for _ in range(presses):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
    out, err = process.communicate(timeout=PATIENCE_S)
    took = time.monotonic() - began
    assert process.returncode == 130, out + err
    assert "Ctrl-C: ending in order. Once more leaves at once" in err
    assert ("Leaderboard" in out) == (presses == 1)
    assert (f"python -m search.run --resume run --out {tmp_path}" in out) == (presses == 1)
    assert survivors(started) == []
    before = epochs_in(directory)
    run(resume(tmp_path))
    assert len(list(read_epochs(directory))) == len(numbers(directory)[0]) > before
    print(f"pressed {presses} times: gone after {took:.1f} s, {before} epochs kept, then finished")
