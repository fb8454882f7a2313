"""Secrets are planted wherever a search may meet one: none is on the disk or on the screen."""

import sys
from dataclasses import replace
from pathlib import Path

from results.export import export
from results.records import TrainingId
from results.store import read_manifest, read_trials
from search.monitoring.console import plain_printer
from search.run import main
from tests.search.session_on_curves import opened, planned, play

WORD = "geheim"
"""Part of each planted secret. A test's name must not hold it: its folder is named so."""

ADDRESS = f"s3://AKIA{WORD.upper()}12345678XX:{WORD}/password@bucket/x.zip?secret_key={WORD}-query"
TRACEBACK = f"""Traceback (most recent call last):
  File "fetch.py", line 1, in fetch
    get("{ADDRESS}")
OSError: access denied to {ADDRESS} with {WORD}-variable, Authorization: Bearer {WORD}.token
"""


def holding(directory: Path) -> list[Path]:
    """The files with a planted secret in them."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if WORD in path.read_text("utf-8", errors="replace").lower()]


def test_a_run_holds_none_of_them(tiny_data, tmp_path, monkeypatch, capsys) -> None:
    from rich.console import Console

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{WORD}-variable")
    monkeypatch.setattr(sys, "argv", ["run.py", "--source", ADDRESS, f"--api-key={WORD}-option"])
    plan = planned(tmp_path, tiny_data, {}, name="first", trials=4)
    session = opened(replace(plan, options=replace(plan.options, source=ADDRESS)))
    first, second = session.study.ask(), session.study.ask()
    assert first
    assert second
    session.study.retry(first.number, TRACEBACK, first.config)
    session.study.fail(second.number, TRACEBACK)
    session.finalists.store.add_error(TrainingId(0, 1), TRACEBACK)
    play(session.study)
    session.close()
    export(plan.directory, trial=2)
    assert holding(tmp_path) == []
    trials = read_trials(plan.directory)
    assert trials[0].retried == trials[1].detail
    assert str(trials[1].detail).startswith("OSError: access denied to s3://***@bucket/x.zip?")
    assert (
        "--source 's3://***@bucket/x.zip?secret_key=***'"
        in (read_manifest(plan.directory)["provenance"]["command"])
    )

    plain_printer(Console())(TRACEBACK)
    assert main(["--resume", "first", "--out", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert WORD not in (shown.out + shown.err).lower()
    assert "--source must be given again when a run goes on" in shown.err
