"""`kill -9` of the driver at random moments, ten times in one search."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from results.store import read_epochs
from tests.drills.searches import (
    LEFT,
    best,
    epochs_in,
    family,
    resume,
    run,
    search,
    start,
    survivors,
    wait_for,
)
from tests.search.search_with_epoch_log import trained
from tests.search.test_search import numbers

KILLS = int(os.environ.get("DRILL_KILLS", "10"))


def kill(
    process: subprocess.Popen[str], directory: Path, moment: random.Random
) -> tuple[str, list[psutil.Process]]:
    """Ends a search somewhere: while it starts, or in training. Returns where, and what it ran."""
    if moment.random() < 0.4:
        where = "starting"
        time.sleep(moment.uniform(0.5, 12.0))
    else:
        where, before = "training", epochs_in(directory)
        wait_for(lambda: epochs_in(directory) > before, process)
        time.sleep(moment.uniform(0.0, 1.5))
    started = family(process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return where, started


@pytest.mark.drill
@pytest.mark.timeout(3 * 3600)
def test_ten_kills_leave_the_search_that_nobody_disturbed(tmp_path: Path, demo_data: Path) -> None:
    run(search(tmp_path / "whole", demo_data))
    seed = int(os.environ.get("DRILL_SEED", "0"))
    out, log, moment = tmp_path / "cut", tmp_path / "log", random.Random(seed)
    directory = out / "run"
    places, started, ended = [], list[psutil.Process](), 0
    for _ in range(KILLS):
        begun = (directory / "manifest.json").exists()
        command = resume(out, log=log) if begun else search(out, demo_data, log=log)
        process = start(command)
        try:
            where, processes = kill(process, directory, moment)
            places.append(where)
            started += processes
        except AssertionError:
            ended += process.poll() == 0  # nothing was left to kill: it came to its end before
            assert ended, places
            break
    run(resume(out, log=log))

    assert survivors(started) == []
    assert numbers(directory) == numbers(tmp_path / "whole" / "run")
    assert best(directory) == best(tmp_path / "whole" / "run")
    recorded = [(trial, metrics.epoch) for trial, metrics in read_epochs(directory)]
    assert len(recorded) == len(set(recorded)) == len(numbers(directory)[0])
    again = sum(times - 1 for times in Counter(trained(log)).values())
    # Each kill may come before the epoch that has just ended is in the checkpoint.
    assert again <= len(places)
    assert {path.name for path in directory.iterdir()} - {"checkpoints", "errors"} == LEFT
    print(
        f"{len(places)} kills ({dict(Counter(places))}), {len(recorded)} epochs, {again} of them "
        f"trained twice, seed {seed}; trials, metrics and best.yaml as without"
    )
