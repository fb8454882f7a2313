"""The batch scripts for Slurm with real searches: warned, queued again, and gone on to the end."""

import re
import signal
from pathlib import Path

import pytest

from tests.drills.searches import PATIENCE_S, epochs_in, family, run, search, survivors, wait_for
from tests.drills.slurm import SCRIPTS, Job
from tests.search.test_search import numbers

WARNED = 2
"""How often Slurm warns the search that its time runs out."""


def job(name: str, scratch: Path, data: Path, **environment: str) -> Job:
    """The job of a script, with a small search in place of its own; the rest is as it stands."""
    script = (SCRIPTS / name).read_text(encoding="utf-8")
    options = " ".join(map(str, search(scratch, data)[3:])).replace("--name run ", "")
    script, count = re.subn(r"--space resnet50\b", options, script)
    assert count == 1
    return Job(script, scratch, environment)


def warned(started: Job, directory: Path) -> int:
    """Starts the job, warns its shell after a further epoch, and returns the shell's exit code."""
    before, batch = epochs_in(directory), started.start()
    wait_for(lambda: epochs_in(directory) > before, batch)
    processes = family(batch)
    batch.send_signal(signal.SIGUSR1)
    code = started.end(batch, PATIENCE_S)
    assert survivors(processes) == []
    return code


@pytest.mark.drill
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("script", "nodes"), [("one_node.sbatch", "1"), ("several_nodes.sbatch", "2")]
)
def test_a_job_goes_on_until_its_search_is_done(
    tmp_path: Path, demo_data: Path, script: str, nodes: str
) -> None:
    (tmp_path / "whole").mkdir()
    run(search(tmp_path / "whole", demo_data))
    started = job(script, tmp_path, demo_data, SLURM_JOB_NUM_NODES=nodes)
    directory = tmp_path / "run"
    for times in range(1, WARNED + 1):
        assert warned(started, directory) == -signal.SIGTERM, started.log()
        assert started.requeued() == times
        assert started.log().count("queued again.") == times
    batch = started.start()
    assert started.end(batch, PATIENCE_S) == 0, started.log()
    again = started.start()
    assert started.end(again, PATIENCE_S) == 0, started.log()
    assert "nothing is left to train" in started.log()
    assert started.requeued() == WARNED
    assert numbers(directory) == numbers(tmp_path / "whole" / "run")
    print(
        f"{script}: warned {WARNED} times, queued again as often, done at start {WARNED + 1}, "
        f"{epochs_in(directory)} epochs as undisturbed, then done at once"
    )


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_scancel_ends_a_job_in_order_and_for_good(tmp_path: Path, demo_data: Path) -> None:
    started = job("one_node.sbatch", tmp_path, demo_data)
    batch = started.start()
    wait_for(lambda: epochs_in(tmp_path / "run") >= 1, batch)
    batch.send_signal(signal.SIGTERM)
    assert started.end(batch, PATIENCE_S) == 143, started.log()
    assert started.requeued() == 0
    assert "Go on with:" in started.log()
    print(f"scancel: ended with {epochs_in(tmp_path / 'run')} epochs on disk, not queued again")
