"""Whole searches in one process, which has imported torch and Ray before and has no guard."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from results.store import read_trials
from search.spaces import name_space
from search.spaces.demo import SPACE

ROOT = Path(__file__).parents[4]

BEGIN = """
import json, os, signal, sys
import ray, torch
sys.path.insert(0, {root!r})
from dataclasses import replace
from search import Search
from search.spaces.demo import SPACE

usual = dict(dataset="tiny-imagenet", data={data!r}, out={out!r}, epochs=2, grace=1,
             precision="float32", concurrency=1, set={{"batch_size": 16, "image_size": 32}})
"""

WHOLE = """
environment, seen = dict(os.environ), []
def tell(progress):
    seen.append(progress)
    if len(seen) == 3:
        print("told")
        raise ValueError("mine")
space = replace(SPACE, summary="mine")
result = Search(space=space, trials=2, name="a", on_progress=tell, **usual).run()
first = len(result.trials())
more = Search.resume(result.directory, space=space, trials="+1").run()
best = more.best
record = more.train_final(epochs=1, threads=1)
again = more.report.read_text(encoding="utf-8")
print(json.dumps({
    "first": first, "trials": len(more.trials()), "epochs": len(more.epochs()),
    "events": [[p.training, p.ended, p.epoch] for p in seen], "notes": result.notes,
    "same": environment == dict(os.environ) and __name__ == "__main__" and bool(__file__),
    "best": [best.trial, best.val_top1, best.baseline_val_top1, best.path.name],
    "top": float(more.trials()["last_val_top1"].max()), "report": "<html" in again,
    "test_images": record.test_images, "final": record.config["epochs"],
    "ray": ray.is_initialized(),
}))
"""

INTERRUPTED = """
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
def tell(progress):
    if progress.epoch == 1:
        os.kill(os.getpid(), signal.SIGINT)
search = Search(space="demo", trials=4, name="b", on_progress=tell, **usual)
try:
    search.run()
except KeyboardInterrupt as error:
    print(error)
print(len(search.result.trials()))
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""

FAILS = """
os.environ["PATH"] = os.environ["PATH"]
try:
    Search(space="demo", trials=2, name="a/b", **usual)
except Exception as error:
    print(type(error).__name__, error)
Search(space="demo", trials=2, name="c", **usual | {{"epochs": 1}}).run()
try:
    Search(space="demo", trials=2, name="c", time_budget="1h", **usual).run()
except Exception as error:
    print(type(error).__name__, error)
try:
    Search.resume({out!r} + "/c", seed=9).dry_run()
except Exception as error:
    print(type(error).__name__, error)
plan = Search(space="demo", trials=2, name="d", show="lines", **usual).dry_run()
print(plan.estimate.epochs, plan.estimate.at_once, "trials   2, the baseline first" in plan.text)
"""


def run(code, data, out):
    script = out / "script.py"  # at whose top level the search runs
    text = (BEGIN + code).format(root=str(ROOT), data=str(data.parent), out=str(out))
    script.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=out, capture_output=True, encoding="utf-8", timeout=400,
        env=os.environ | {"PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines(), done.stderr


@pytest.mark.slow
def test_a_search_goes_on_and_ends_in_a_final_training(tmp_path, tiny_data):
    code = WHOLE.replace("{", "{{").replace("}", "}}")
    lines, errors = run(code, tiny_data, tmp_path)
    assert lines[:-1] == ["told"]  # by the program itself, and nothing else is printed
    assert errors == ""
    found = json.loads(lines[-1])
    assert (found["first"], found["trials"]) == (2, 3)
    assert found["events"] == [
        ["baseline", False, 1],
        ["baseline", False, 2],
        ["baseline", True, 2],
    ]
    assert found["notes"] == [
        "on_progress fails, and the search goes on without it: ValueError: mine"
    ]
    trials = read_trials(tmp_path / "a")
    assert found["epochs"] == sum(record.epochs for record in trials.values())
    number, value, baseline, name = found["best"]
    assert value == found["top"] == trials[number].last_val_top1
    assert (baseline, name) == (trials[0].last_val_top1, "best.yaml")
    assert found["report"]
    assert found["same"]
    assert not found["ray"]
    assert (found["test_images"], found["final"]) == (24, 1)


@pytest.mark.slow
def test_ctrl_c_ends_in_order_and_leaves_a_result(tmp_path, tiny_data):
    code = INTERRUPTED.replace("{", "{{").replace("}", "}}")
    lines, _ = run(code, tiny_data, tmp_path)
    message, trials, handler = lines
    assert (
        message == f"The search has ended in order; Search.resume('{tmp_path}/b') goes on with it."
    )
    assert 1 <= int(trials) < 4
    assert handler == "True"
    sessions = json.loads((tmp_path / "b" / "manifest.json").read_text(encoding="utf-8"))[
        "sessions"
    ]
    assert sessions[-1]["ended"]


@pytest.mark.slow
def test_errors_are_exceptions_and_leave_the_process_usable(tmp_path, tiny_data):
    lines, _ = run(FAILS, tiny_data, tmp_path)
    assert lines[0].startswith("OptionsError name must be a folder's name")
    assert lines[1].startswith("OptionsError ")
    assert "--" not in lines[1].split("`")[0]
    assert lines[2].startswith("OptionsError seed can't change when a run goes on")
    epochs, *more = lines[3].split()
    assert (float(epochs), more) == (pytest.approx(10 / 3), ["1", "True"])


def test_a_space_of_a_module_has_its_name_and_an_object_only_that():
    assert name_space(SPACE) == "demo"
