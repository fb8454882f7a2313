"""The batch scripts for Slurm: sound, and with every end of a search in the right place."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.drills.slurm import ROOT, SCRIPTS, Job

BATCH = sorted(SCRIPTS.glob("*.sbatch"))

SEARCH = """
import signal, sys, time
ending = {code}
def end(number, frame):
    print("saving", flush=True)
    time.sleep(0.3)
    sys.exit(ending)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep({last_s})
sys.exit({last})
"""
"""A search: it ends by itself with `last`, and after TERM, in a moment, with `code`."""


def job(scratch: Path, code: int, *, last_s: float = 30, last: int = 0, **more: str) -> Job:
    """The job of the script for one node, with a program in place of the search."""
    search = scratch / "search.py"
    search.write_text(SEARCH.format(code=code, last_s=last_s, last=last), encoding="utf-8")
    script = (SCRIPTS / "one_node.sbatch").read_text(encoding="utf-8")
    command = f"until_done {sys.executable} {search}\n"
    script, count = re.subn(r"^until_done .*\n", command, script, flags=re.MULTILINE)
    assert count == 1
    return Job(script, scratch, more)


def end(started: Job, *signals: signal.Signals) -> int:
    """Starts a job, sends its shell signals once the search runs, and returns the exit code."""
    batch = started.start()
    limit = time.monotonic() + 20
    while signals and "ready" not in started.log():
        assert time.monotonic() < limit
        time.sleep(0.02)
    for each in signals:
        batch.send_signal(each)
        time.sleep(0.1)
    return started.end(batch, 20)


@pytest.mark.parametrize(
    ("code", "signals", "requeued", "exits"),
    [
        (143, [signal.SIGUSR1], 1, -signal.SIGTERM),
        (143, [signal.SIGUSR1, signal.SIGUSR1], 1, -signal.SIGTERM),
        (143, [signal.SIGTERM], 0, 143),
        (143, [signal.SIGTERM, signal.SIGTERM], 0, 143),
        (0, [signal.SIGUSR1], 0, 0),
        (1, [signal.SIGUSR1], 0, 1),
        (2, [signal.SIGUSR1], 0, 2),
    ],
)
def test_only_a_search_that_the_warning_has_ended_is_queued_again(
    tmp_path: Path, code: int, signals: list[signal.Signals], requeued: int, exits: int
) -> None:
    started = job(tmp_path, code)
    assert end(started, *signals) == exits
    assert started.requeued() == requeued
    assert started.log().count("saving") == len(signals)
    assert ("queued again" in started.log()) == bool(requeued)


@pytest.mark.parametrize("last", [0, 1, 2, 137])
def test_a_search_that_ends_by_itself_gives_the_job_its_code(tmp_path: Path, last: int) -> None:
    started = job(tmp_path, 143, last_s=0, last=last)
    assert end(started) == last
    assert started.requeued() == 0


def test_a_job_that_slurm_does_not_requeue_fails_and_says_how_to_go_on(tmp_path: Path) -> None:
    started = job(tmp_path, 143, REFUSED="yes")
    assert end(started, signal.SIGUSR1) == 143
    assert "Not queued again: sbatch the same script to go on." in started.log()


def test_a_job_is_not_queued_for_ever(tmp_path: Path) -> None:
    started = job(tmp_path, 143, SLURM_RESTART_COUNT="100")
    assert end(started, signal.SIGUSR1) == 143
    assert started.requeued() == 0
    (tmp_path / "again").mkdir()
    started = job(tmp_path / "again", 143, SLURM_RESTART_COUNT="99")
    assert end(started, signal.SIGUSR1) == -signal.SIGTERM
    assert started.requeued() == 1


def test_shellcheck_finds_nothing() -> None:
    scripts = [*BATCH, *SCRIPTS.glob("*.sh")]
    assert len(scripts) == 3
    command = [Path(sys.executable).parent / "shellcheck", "--external-sources", *scripts]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("script", BATCH, ids=lambda path: path.stem)
def test_options_warn_early_requeue_and_name_a_space_that_there_is(script: Path) -> None:
    from search.config.command_line import parse, resolve

    text = script.read_text(encoding="utf-8")
    lines = re.findall(r"^#SBATCH --(\S+)", text, flags=re.MULTILINE)
    options = {name: value for name, _, value in (line.partition("=") for line in lines)}
    assert options["signal"] == "B:USR1@180"
    assert {"requeue": "", "open-mode": "append"}.items() <= options.items()
    (command,) = re.findall(r"-m search\.run ((?:.*\\\n)*.*)\n", text)
    words = command.replace("\\\n", " ").replace('"', "").replace("$head:$port", "node1:17133")
    given, unknown = parse(words.split())
    assert given.pop("resume_or_start") == "$SLURM_JOB_NAME"
    assert unknown + resolve(given)[1] == []
