"""A real search that is steered from another process, and whose commands are run."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from results.analysis.run_records import read_run_records
from results.records import StopReason, TrialState
from results.side_store import read_steering
from results.store import read_manifest
from tests.drills.searches import epochs_in
from tests.search.test_search import command


def steer(run: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "search.steer", str(run), *words]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False)


def wait_for(seen: Callable[[], bool], limit_s: float = 240.0) -> None:
    until = time.monotonic() + limit_s
    while not seen():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.slow
def test_a_running_search_does_what_is_asked_of_it(tmp_path: Path, tiny_data: Path) -> None:
    run, told = tmp_path / "run", tmp_path / "told.json"
    hooks = ("--on-end", f"cat > {told}", "--on-best", "echo $SEARCH_BEST_TRIAL; exit 3")
    words = command(tmp_path, tiny_data, "--trials", "3", "--epochs", "60", "--grace", "60",
                    "--max-gap", "0", "--concurrency", "2", *hooks)  # fmt: skip
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    ) as search:
        wait_for(lambda: run.exists() and epochs_in(run) >= 1)
        refused = steer(run, "stop", "9")
        assert refused.returncode == 2
        assert refused.stderr.startswith("error: stop needs a trial that has begun, but 9 hasn't")
        assert steer(run, "concurrency", "1").returncode == 0
        asked = steer(run, "try", "dropout=0.2")
        assert asked.stdout.startswith("Trial 2 tries dropout=0.2, with the other values of")
        assert steer(run, "budget", "+2", "trials").returncode == 0
        assert steer(run, "stop", "0").returncode == 0
        wait_for(lambda: read_run_records(run).trials[0].state is not TrialState.RUNNING)
        others = [r for n, r in read_run_records(run).trials.items() if n != 0]
        assert len(others) == 1 or others[0].state is not TrialState.RUNNING
        assert steer(run, "concurrency", "2").returncode == 0
        wait_for(lambda: len(read_run_records(run).trials) >= 3)
        ended = steer(run, "end").stdout
        assert ended == "The search ends: running trials end with their epochs.\n"
        printed, _ = search.communicate(timeout=240)
    assert search.returncode == 0, printed
    trials = read_run_records(run).trials
    assert trials[0].reason is StopReason.BY_HAND
    # A hundred images can't keep a training from diverging before it is ended.
    assert {trials[n].reason for n in (1, 2)} <= {StopReason.BUDGET, StopReason.DIVERGED}
    assert trials[2].params["dropout"] == 0.2
    assert trials[2].epochs < 60
    assert [str(each.action) for each in read_steering(run)] == [
        "concurrency", "try", "budget", "stop", "concurrency", "end",
    ]  # fmt: skip
    options = read_manifest(run)["options"]
    assert (options["trials"], options["concurrency"]) == (5, "2")
    assert "by hand   stop 0: Trial 0 ends with epoch" in printed
    assert f"Ended by hand: {len(trials)} of 5 trials began, of which " in printed
    assert "What was changed by hand" in (run / "report.html").read_text(encoding="utf-8")
    assert not (run / ".steering").exists()
    outcome = json.loads(told.read_text(encoding="utf-8"))
    assert (outcome["outcome"], outcome["exit_code"], outcome["trials"]) == (
        "ended",
        0,
        len(trials),
    )
    assert Path(outcome["best_file"]).exists()
    assert Path(outcome["report"]).exists()
    assert "note: the command of --on-best failed: it ended with exit code 3" in printed
    assert told.name not in (run / "manifest.json").read_text(encoding="utf-8")
    late = steer(run, "end")
    assert late.returncode == 2
    assert "must be running to be steered, but its last session ended on" in late.stderr


@pytest.mark.slow
def test_a_command_that_hangs_delays_no_trial(tmp_path: Path, tiny_data: Path) -> None:
    words = command(tmp_path, tiny_data, "--trials", "3", "--epochs", "2", "--concurrency", "1",
                    "--on-best", f"sleep 8; touch {tmp_path}/over")  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as search:
        run = tmp_path / "run"
        wait_for(lambda: run.exists() and epochs_in(run) >= 3)  # the second trial's
        assert not (tmp_path / "over").exists()
        assert search.wait(240) == 0
    assert (tmp_path / "over").exists()  # the search waits for it at its end
