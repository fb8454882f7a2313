"""Whole searches on Ray, with real training on small images."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import yaml

from common.nvml import driver_loads
from results.records import StopReason, TrialState
from results.store import read_epochs, read_trials
from tests.search.search_with_epoch_log import trained

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": ""}


def command(tmp_path, data, *more):
    usual = {"--epochs": "3", "--grace": "1", "--precision": "float32"}
    more += tuple(word for flag in sorted(usual.keys() - set(more)) for word in (flag, usual[flag]))
    return [
        sys.executable, "-m", "search.run", "--space", "demo", "--dataset", "tiny-imagenet",
        "--data", str(data.parent), "--out", str(tmp_path), "--name", "run",
        "--set", "batch_size=16", "image_size=32", *more,
    ]  # fmt: skip


def run(arguments, **environment):
    return subprocess.run(
        arguments, cwd=ROOT, env=ENVIRONMENT | environment, capture_output=True, encoding="utf-8",
        timeout=400,
    )  # fmt: skip


def numbers(directory):
    """Every epoch's metrics that don't depend on the clock, and every trial's end."""
    epochs = {
        (trial, m.epoch): (m.train_loss, m.train_top1, m.val_loss, m.val_top1, m.lr)
        for trial, m in read_epochs(directory)
    }
    ends = {n: (r.params, r.state, r.reason, r.epochs) for n, r in read_trials(directory).items()}
    return epochs, ends


def side_numbers(kind, directory):
    """The same of the trainings beside the trials, whose files are of this kind."""
    epochs = {
        (key, m.epoch): (m.train_loss, m.train_top1, m.val_loss, m.val_top1)
        for key, m in kind.read_epochs(directory)
    }
    ends = {k: (r.config, r.state, r.val_top1) for k, r in kind.read(directory).items()}
    return epochs, ends


def test_a_search_runs_to_its_best_config(tmp_path, tiny_data):
    done = run(command(tmp_path, tiny_data, "--trials", "5"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"dashboard +http://127\.0\.0\.1:\d+ .*ray get-auth-token", done.stdout)
    directory = tmp_path / "run"
    trials = read_trials(directory)
    assert len(trials) == 5
    assert trials[0].state is TrialState.COMPLETE
    assert any(r.reason is StopReason.RUNG for r in trials.values())
    assert all(r.epochs == 3 for r in trials.values() if r.state is TrialState.COMPLETE)
    best = yaml.safe_load((directory / "best.yaml").read_text(encoding="utf-8"))
    assert best["value"] == max(r.last_val_top1 for r in trials.values())
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["dataset"]["fingerprint"] == best["dataset_fingerprint"]
    assert manifest["provenance"]["versions"]["ray"]
    assert f"trainables.final --config {directory / 'best.yaml'}" in done.stdout
    left = {path.name for path in directory.iterdir()}
    assert left == {"manifest.json", "journal.log", "epochs.jsonl", "trials.jsonl", "best.yaml",
                    "report.html", ".lock", "space"}  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(driver_loads(), reason="the machine has a driver")
def test_a_machine_with_nvidia_smi_and_no_driver_trains_on_its_cores(tmp_path, tiny_data):
    """What nvidia-smi prints counts for nothing: a trial on a GPU would wait for ever."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA A100-SXM4-80GB'\n", encoding="utf-8")
    tool.chmod(0o755)
    folders = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = run(command(tmp_path, tiny_data, "--trials", "2", "--epochs", "1"), PATH=folders)
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["provenance"]["machine"]["gpus"] == []
    assert [r.epochs for r in read_trials(tmp_path / "run").values()] == [1, 1]
    asked = run(command(tmp_path, tiny_data, "--gpus-per-trial", "0.5"), PATH=folders)
    assert "--gpus-per-trial must be auto or 0 on a machine without a GPU" in asked.stderr


@pytest.mark.slow
def test_a_killed_search_goes_on_to_the_same_numbers(tmp_path, tiny_data):
    one = ("--trials", "4", "--concurrency", "1")
    whole = run(command(tmp_path / "whole", tiny_data, *one))
    assert whole.returncode == 0, whole.stderr
    epochs = tmp_path / "cut" / "run" / "epochs.jsonl"
    killed = start(command(tmp_path / "cut", tiny_data, *one))
    wait_for(
        lambda: epochs.exists() and epochs.read_text(encoding="utf-8").count("\n") >= 2, killed
    )
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    resumed = run(
        [sys.executable, "-m", "search.run", "--resume", "run", "--out", str(tmp_path / "cut")]
    )
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert numbers(tmp_path / "cut" / "run") == numbers(tmp_path / "whole" / "run")
    assert len(epochs.read_text(encoding="utf-8").splitlines()) == len(
        numbers(tmp_path / "whole" / "run")[0]
    )


@pytest.mark.slow
def test_ctrl_c_ends_in_a_summary_and_a_run_that_goes_on(tmp_path, tiny_data):
    epochs = tmp_path / "run" / "epochs.jsonl"
    process = start(command(tmp_path, tiny_data, "--trials", "6"))
    wait_for(
        lambda: epochs.exists() and epochs.read_text(encoding="utf-8").count("\n") >= 2, process
    )
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    assert "Leaderboard" in out
    assert f"python -m search.run --resume run --out {tmp_path}" in out
    before = len(epochs.read_text(encoding="utf-8").splitlines())
    resumed = run([sys.executable, "-m", "search.run", "--resume", "run", "--out", str(tmp_path)])
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert len(read_trials(tmp_path / "run")) == 6
    keys = [(t, m.epoch) for t, m in read_epochs(tmp_path / "run")]
    assert len(set(keys)) == len(keys) > before


@pytest.mark.slow
def test_a_worker_killed_in_mid_epoch_costs_that_epoch_and_no_trial(tmp_path, tiny_data):
    """It goes on from its checkpoint, to the numbers of a training that nobody disturbed."""
    log, checkpoint = tmp_path / "log", tmp_path / "run" / "checkpoints" / "0000.pt"
    long = ("--trials", "1", "--concurrency", "1", "--epochs", "6", "--grace", "6")
    process = start(logged(log, command(tmp_path, tiny_data, *long)))
    wait_for(lambda: checkpoint.exists() and workers(process), process)
    (worker,) = workers(process)
    worker.kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert "broke off, tried again after epoch" in out
    record = read_trials(tmp_path / "run")[0]
    assert (record.state, record.epochs) == (TrialState.COMPLETE, 6)
    assert "died" in record.retried
    assert [m.epoch for _, m in read_epochs(tmp_path / "run")] == list(range(1, 7))
    twice = [key for key, times in Counter(trained(log)).items() if times > 1]
    assert len(twice) <= 1
    whole = run(command(tmp_path / "whole", tiny_data, *long))
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert numbers(tmp_path / "run")[0] == numbers(tmp_path / "whole" / "run")[0]


def logged(log, arguments):
    """The same search, with every trained epoch in `log` and a checkpoint after each."""
    python, option, _, *rest = arguments
    return [python, option, "tests.search.search_with_epoch_log", str(log), "0", *rest]


@pytest.mark.slow
def test_a_finished_search_is_extended_and_another_begins_with_it(tmp_path, tiny_data):
    first = run(command(tmp_path, tiny_data, "--trials", "3"))
    assert first.returncode == 0, first.stdout + first.stderr
    old = read_trials(tmp_path / "run")
    more = ["--resume", "run", "--out", str(tmp_path), "--epochs", "4"]
    longer = run([sys.executable, "-m", "search.run", *more])
    assert longer.returncode == 0, longer.stdout + longer.stderr
    trials = read_trials(tmp_path / "run")
    assert {n: trials[n] for n in old} == old
    added = [trials[n] for n in range(3, 6)]
    assert added[0].params == old[0].params
    assert {(r.state, r.epochs, r.config["epochs"]) for r in added} == {(TrialState.COMPLETE, 4, 4)}
    assert re.search(r"baseline +starts", longer.stdout)
    earlier = ("--name", "second", "--warm-start", str(tmp_path / "run"), "--epochs", "4")
    second = run(command(tmp_path, tiny_data, *earlier, "--trials", "3"))
    assert second.returncode == 0, second.stdout + second.stderr
    assert "learns     from 6 of 6 trials of run" in second.stdout
    best = max(added[1:], key=lambda record: record.last_val_top1)
    warm = read_trials(tmp_path / "second")
    assert warm[0].params == old[0].params
    assert warm[1].params in [record.params for record in trials.values()]
    assert best.params in [warm[1].params, warm[2].params]


def workers(process):
    """This search's, by Ray's name for them while they train."""
    family = psutil.Process(process.pid).children(recursive=True)
    return [one for one in family if "".join(one.cmdline()[:1]).startswith("ray::trial-")]


def start(arguments):
    return subprocess.Popen(
        arguments, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", start_new_session=True,
    )  # fmt: skip


def wait_for(condition, process):
    for _ in range(600):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    raise AssertionError("the search recorded nothing in two minutes")
