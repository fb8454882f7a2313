"""Runs listed: how each stands, what it found, and the same as JSON."""

import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from results import runs
from results.overview import run_overview
from results.overview.annotations import annotate
from results.overview.run_overview import FIELDS, RunOverview, RunState, overview_of
from results.overview.text_table import TextColumn, print_table
from results.records import TrialState
from results.store import TRIALS, RunStore
from tests.results.example_run import Made, make_run
from tests.results.example_search import ADAMW, MANIFEST, RANGES, SIX, six

SESSION = MANIFEST["sessions"][0]


def sessions(**changed: Any) -> list[dict[str, Any]]:
    return [SESSION | changed]


def test_an_overview_sums_a_run_up(tmp_path: Path) -> None:
    annotate(six(tmp_path / "run"), note="the first", add=["small", "a.b-c"])
    found = overview_of(tmp_path / "run")
    assert (found.name, found.state, found.problem) == ("run", RunState.ENDED, None)
    assert (found.space, found.dataset) == ("resnet18", "tiny-imagenet-20")
    assert (found.trials, found.planned, found.best_trial) == (6, 6, 2)
    assert (found.best_val_top1, found.baseline_val_top1) == (0.55, 0.34)
    assert found.training_s == 13 * 1.5  # an epoch of the example takes 1.5 s
    assert (found.clock_s, found.gpu_hours) == (5400.0, 0.0)
    assert found.began == "2026-11-22T05:00:00+00:00"
    assert (found.note, found.tags) == ("the first", ["a.b-c", "small"])


def test_each_state_is_told(tmp_path: Path) -> None:
    six(tmp_path / "ended", sessions=sessions(finished=True))
    six(tmp_path / "stopped", sessions=sessions(finished=False))
    six(tmp_path / "killed", sessions=sessions(ended=None))
    unfinished = [*SIX, Made(params=ADAMW, values=[0.1], state=TrialState.RUNNING)]
    make_run(tmp_path / "older", RANGES, unfinished, 4, MANIFEST)
    failed = [Made(params=ADAMW, values=[], state=TrialState.FAILED, detail="no CUDA")]
    make_run(tmp_path / "failed", RANGES, failed, 4, MANIFEST)
    six(tmp_path / "damaged")
    (tmp_path / "damaged" / TRIALS).write_text("{}\n", encoding="utf-8")
    store = RunStore(six(tmp_path / "running", sessions=sessions(ended=None)))
    try:
        found = {each.name: each for each in runs.list_runs(tmp_path)}
    finally:
        store.close()
    states = {name: str(each.state) for name, each in found.items()}
    assert states == {
        "ended": "ended", "stopped": "interrupted", "killed": "interrupted",
        "older": "interrupted", "failed": "failed", "damaged": "damaged", "running": "running",
    }  # fmt: skip
    assert found["damaged"].problem is not None
    assert "restore" in found["damaged"].problem
    assert (found["failed"].best_trial, found["failed"].best_val_top1) == (None, None)


def test_a_running_search_is_seen_from_another_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from results.store import RunStore; "
        "store = RunStore(Path(sys.argv[1])); print('open', flush=True); input(); store.close()"
    )
    run = six(tmp_path / "run")
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        assert overview_of(run).state is RunState.RUNNING
        other.communicate("\n")
    assert overview_of(run).state is RunState.ENDED
    RunStore(run).close()  # asking has left no lock


def test_the_table_has_a_line_a_run_and_the_last_active_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("first", "second")):
        six(tmp_path / name)
        for path in (tmp_path / name).glob("*.jsonl"):
            os.utime(path, (1_800_000_000 + number, 1_800_000_000 + number))
    annotate(tmp_path / "first", note="a note\nof two lines", add=["x"])
    assert runs.main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "run", "state", "space", "dataset", "trials", "best", "baseline", "lead", "training",
        "active", "tags", "note",
    ]  # fmt: skip
    assert lines[1].split()[:9] == [
        "second", "ended", "resnet18", "tiny-imagenet-20", "6/6", "0.550", "0.340", "+0.210", "20",
    ]  # fmt: skip
    assert lines[2].split()[0] == "first"
    assert lines[2].endswith("x     a note")
    assert len(lines) == 3


def test_tags_and_states_choose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, tags in (("a", ["x", "y"]), ("b", ["x"]), ("c", [])):
        annotate(six(tmp_path / name), add=tags)
    six(tmp_path / "d", sessions=sessions(finished=False))

    def names(*words: str) -> list[str]:
        return sorted(each.name for each in runs.list_runs(tmp_path, *[[word] for word in words]))

    assert names("x") == ["a", "b"]
    assert [each.name for each in runs.list_runs(tmp_path, ["x", "y"])] == ["a"]
    assert [each.name for each in runs.list_runs(tmp_path, [], ["interrupted"])] == ["d"]
    assert runs.main([str(tmp_path), "--tag", "z"]) == 0
    assert "holds no run of these tags and states" in capsys.readouterr().out


def test_json_has_the_documented_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    six(tmp_path / "run")
    assert runs.main([str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["schema_version", "folder", "runs"]
    assert found["schema_version"] == 1
    (run,) = found["runs"]
    assert list(run) == list(FIELDS) == [each.name for each in fields(RunOverview)]
    assert RunOverview.from_json(run) == overview_of(tmp_path / "run")
    documented = re.findall(r"^    (\w+) +\S", runs.__doc__ or "", flags=re.MULTILINE)
    assert documented == list(FIELDS)


def test_an_age_is_read_at_a_glance() -> None:
    now = datetime(2026, 11, 28, tzinfo=UTC)
    ages = {
        2.2: "2 s", 600: "10 min", 7200: "2 h 00 min", 86_400: "24 h 00 min", 200_000: "2 d",
    }  # fmt: skip
    for seconds, words in ages.items():
        moment = (now - timedelta(seconds=seconds)).isoformat()
        assert runs._age(moment, now) == f"{words} ago"
    assert runs._age((now + timedelta(hours=1)).isoformat(), now) == "0 s ago"
    assert runs._age(None, now) == "–"


def test_a_narrow_terminal_leaves_out_whole_columns(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [TextColumn(name, [name * 3, "x"], right=False) for name in ("aaa", "bbb", "ccc")]
    assert print_table(columns, width=22) == ["ccc"]
    assert capsys.readouterr().out.splitlines() == [
        "aaa        bbb", "aaaaaaaaa  bbbbbbbbb", "x          x",
    ]  # fmt: skip
    assert print_table(columns) == []
    assert "ccccccccc" in capsys.readouterr().out


def test_a_folder_that_is_a_run_lists_nothing_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs.main([str(six(tmp_path / "run"))]) == 0
    assert "holds no run" in capsys.readouterr().out
    assert run_overview.find_runs(tmp_path) == [tmp_path / "run"]


def test_what_may_not_be_read_is_listed_beside_the_others(tmp_path: Path) -> None:
    for name in ("closed", "fine", "hidden", "noted", "records"):
        annotate(six(tmp_path / name), note=name)
    (tmp_path / "other").mkdir()
    (tmp_path / "closed").chmod(0o000)
    (tmp_path / "hidden" / "manifest.json").chmod(0o000)
    (tmp_path / "noted" / "annotations.json").chmod(0o000)
    (tmp_path / "records" / TRIALS).chmod(0o000)
    # Root may read all of that but for these two capabilities.
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    as_user = drop if os.geteuid() == 0 else []
    words = [*as_user, sys.executable, "-m", "results.runs", str(tmp_path), "--json"]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=False)
    (tmp_path / "closed").chmod(0o700)
    assert done.returncode == 0, done.stderr
    found = {each["name"]: each for each in json.loads(done.stdout)["runs"]}
    assert {name: each["state"] for name, each in found.items()} == {
        "closed": "damaged", "fine": "ended", "hidden": "damaged", "noted": "ended",
        "records": "damaged",
    }  # fmt: skip
    assert found["closed"]["problem"] == (
        f"{tmp_path}/closed/manifest.json must be a file that you may read, but isn't; "
        "ask its owner."
    )
    assert found["hidden"]["problem"].startswith(f"{tmp_path}/hidden/manifest.json must be a file")
    assert found["records"]["problem"].startswith(f"{tmp_path}/records/{TRIALS} must be a file")
    noted = f"[Errno 13] Permission denied: '{tmp_path}/noted/annotations.json'"
    assert found["noted"]["problem"] == noted
    assert (found["fine"]["problem"], found["fine"]["note"]) == (None, "fine")
