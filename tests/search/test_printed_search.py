"""A search whose network prints: every trial's words stand in its own log, whoever trained it."""

import re
import stat

import pytest

from results.overview.trial_log import LOGS, read_log
from results.records import TrainingId
from results.show import main as show
from results.store import read_trials
from tests.search.test_search import command, run


@pytest.mark.slow
def test_what_a_network_prints_stands_in_the_log_of_its_trial(tmp_path, tiny_data, capsys):
    """All trials but the second share a worker, which dies with the second and is replaced."""
    words = command(tmp_path, tiny_data, "--trials", "3", "--concurrency", "1", "--epochs", "2")
    words[2] = "tests.search.search_with_prints"
    done = run(words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "network of" not in done.stdout + done.stderr  # the driver's output is as before
    directory = tmp_path / "run"
    trials = read_trials(directory)
    logs = {number: read_log(directory, TrainingId(number)) for number in trials}
    assert len(logs) == 3
    processes = {}
    for number, text in logs.items():
        found = re.findall(r"^(network|C) of trial (\d+), attempt at (\d+)", text, re.MULTILINE)
        assert {each for _, each, _ in found} == {str(number)}
        assert f"UserWarning: warning of trial {number}, attempt at 1" in text
        assert {kind for kind, _, _ in found} == {"network", "C"}
        assert len(found) >= 2 * trials[number].epochs
        processes[number] = set(re.findall(r"^network of .* in (\d+)$", text, re.MULTILINE))
    assert "last words\n--- it went on at " in logs[1]
    assert len(processes[1]) == 2
    assert processes[0] < processes[1]  # one worker trained trials 0 and 1
    assert processes[2] < processes[1]
    for path in (directory / LOGS).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert show([str(directory), "--trial", "1", "--log"]) == 0
    assert capsys.readouterr().out == f"{logs[1]}\n"
