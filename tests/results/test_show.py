"""A run on the terminal: its leaderboard as text, CSV and JSON, and one trial."""

import csv
import io
import json
import os
import re
from dataclasses import fields
from pathlib import Path

import pytest

from common.errors import RecordError
from results import show
from results.live.trial_page import trial_page
from results.overview.leaderboard import FIELDS, RankedTrial
from results.overview.run_overview import overview_of
from results.records import EpochMetrics, TrainingId
from results.store import traceback_path
from tests.results.example_run import make_run
from tests.results.example_search import MANIFEST, RANGES, SIX, many, six


def shown(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert show.main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def test_the_leaderboard_ranks_as_the_search_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(capsys, six(tmp_path / "run")).splitlines()
    assert lines[0] == "run: resnet18 on tiny-imagenet-20, ended, 6 of 6 trials, 20 s of training"
    assert lines[2].split() == [
        "rank", "trial", "mark", "val_top1", "gap", "epochs", "ended", "time", "lr", "optimizer",
        "freeze_depth", "flip", "momentum",
    ]  # fmt: skip
    table = [line.split() for line in lines[3:9]]
    assert [row[1] for row in table] == ["2", "0", "5", "1", "3", "4"]
    assert table[0][:8] == ["1", "2", "best", "0.550", "+0.050", "4", "complete", "6"]
    assert table[1][2:4] == ["baseline", "0.340"]
    assert table[4][:2] == ["5", "3"]  # diverged, behind all that didn't
    assert table[5][:2] == ["–", "4"]  # without an epoch


def test_only_the_best_are_shown_and_the_rest_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = many(tmp_path / "run", trials=60)
    usual = shown(capsys, run)
    rows = [line for line in usual.splitlines() if re.match(r" *\d+ +\d", line)]
    assert len(rows) in (20, 21)  # and the baseline, if it isn't among them
    assert f"{60 - len(rows)} more trials: python -m results.show {run} --all" in usual
    assert sum("baseline" in row for row in rows) == 1
    everything = shown(capsys, run, "--all")
    assert len([line for line in everything.splitlines() if re.match(r" *\d+ +\d", line)]) == 60


def test_columns_are_chosen_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = six(tmp_path / "run")
    lines = shown(capsys, run, "--columns", "trial,lr,params.momentum,ended").splitlines()
    assert lines[2].split() == ["trial", "lr", "momentum", "ended"]
    assert lines[3].split() == ["2", "0.0001", "–", "complete"]
    assert show.main([str(run), "--columns", "trail,lrr"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors == [
        "error: --columns must name columns, but got 'trail'; did you mean trial?",
        "error: --columns must name columns, but got 'lrr'; did you mean lr?",
    ]


def test_csv_is_read_as_it_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = six(tmp_path / "run")
    rows = list(csv.DictReader(io.StringIO(shown(capsys, run, "--csv"))))
    assert [row["trial"] for row in rows] == ["2", "0", "5", "1", "3", "4"]
    assert list(rows[0]) == [
        *(name for name in FIELDS if name != "params"),
        *(f"params.{name}" for name in RANGES if name != "momentum" and name != "flip"
          and name != "freeze_depth"), "params.freeze_depth", "params.flip", "params.momentum",
    ]  # fmt: skip
    assert float(rows[0]["params.lr"]) == 1e-4
    assert rows[0]["params.momentum"] == ""
    assert rows[0]["best"] == "True"


def test_json_has_the_documented_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = six(tmp_path / "run")
    found = json.loads(shown(capsys, run, "--json"))
    assert list(found) == ["schema_version", "run", "trials"]
    assert found["run"]["state"] == str(overview_of(run).state)
    names = [each.name for each in fields(RankedTrial)]
    assert list(found["trials"][0]) == names == list(FIELDS)
    assert found["trials"][0]["params"] == SIX[2].params
    documented = re.findall(r"^    (\w+) +\S", show.__doc__ or "", flags=re.MULTILINE)
    assert documented == names


def test_one_trial_is_shown_with_its_curve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = six(tmp_path / "run")
    lines = shown(capsys, run, "--trial", 1).splitlines()
    assert lines[0] == "trial 1, rank 4: rung: not in the top 1/3"
    assert lines[1].startswith("val_top1 0.200 after 2 of 4 epochs, gap +0.000, highest 0.200 at")
    assert lines[2] == ("searched: lr=0.01, optimizer=sgd, momentum=0.9, freeze_depth=3, flip=True")
    heading = lines[5].split()
    assert heading == [each.name for each in fields(EpochMetrics)]
    assert [line.split()[heading.index("val_top1")] for line in lines[6:8]] == ["0.1", "0.2"]
    found = json.loads(shown(capsys, run, "--trial", 1, "--json"))
    assert list(found) == ["schema_version", "run", "trial", "epochs"]
    assert list(found["trial"]) == [*FIELDS, "config", "traceback"]
    assert [each["val_top1"] for each in found["epochs"]] == [0.1, 0.2]


def test_a_failed_trial_shows_its_error_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = six(tmp_path / "run")
    path = traceback_path(run, TrainingId(4))
    path.parent.mkdir()
    path.write_text(
        "Traceback …\nRuntimeError: no CUDA https://user:secret@host/\n", encoding="utf-8"
    )
    text = shown(capsys, run, "--trial", 4)
    assert "trial 4: failed: no CUDA" in text
    assert "No epoch is finished yet." in text
    assert "RuntimeError: no CUDA" in text
    assert "secret" not in text


@pytest.mark.timeout(20)
def test_a_pipe_in_place_of_an_error_is_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = traceback_path(run := six(tmp_path / "run"), TrainingId(4))
    path.parent.mkdir()
    os.mkfifo(path)
    assert show.main([str(run), "--trial", "4"]) == 2
    told = f"error: {path} must be a file, but is a pipe, a socket or a device; move it away.\n"
    assert capsys.readouterr().err == told
    with pytest.raises(RecordError, match="must be a file"):
        trial_page(run, 4)
    path.unlink()
    assert "trial 4: failed: no CUDA" in shown(capsys, run, "--trial", 4)


def test_what_isnt_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = six(tmp_path / "run")
    assert show.main([str(run), "--trial", "6"]) == 2
    assert "but got 6; " in capsys.readouterr().err
    assert show.main([str(run), "--trial", "1", "--csv"]) == 2
    assert "leave them out" in capsys.readouterr().err
    assert show.main([str(make_run(tmp_path / "new", RANGES, [], 4, MANIFEST))]) == 2
    assert "has no trial yet" in capsys.readouterr().err
