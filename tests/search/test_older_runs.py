"""A run that began before a field of `TrialConfig` existed goes on."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from datasets.access import open_search_data
from search import execute
from search.options import resolve
from search.plan import Plan, make_plan
from search.run import main
from tests.search.curves import metrics
from trainables.config import TrialConfig

FIRST = {"network", "image_size", "optimizer", "lr", "batch_size", "epochs", "precision"}
"""Fields that a first version may have had."""


def planned(out: Path, data: Path) -> Plan:
    options, errors = resolve(
        {"space": "demo", "dataset": "tiny-imagenet", "data": str(data.parent), "out": str(out),
         "name": "old", "trials": 1, "epochs": 1, "precision": "float32", "set": ["batch_size=16"]}
    )  # fmt: skip
    plan, more = make_plan(options, resuming=False)
    assert plan is not None, errors + more
    return plan


@pytest.fixture
def old(tmp_path: Path, tiny_data: Path) -> Path:
    """A finished run of one trial, its configurations as a version with fewer fields wrote them."""
    plan = planned(tmp_path, tiny_data)
    session = execute._study(plan, open_search_data(tiny_data), "float32", None)
    assert session.study.ask()
    assert session.study.report(0, metrics(1, 0.5))
    session.close()
    manifest = plan.directory / "manifest.json"
    content = json.loads(manifest.read_text())
    content["preview"] = [without_new_fields(values) for values in content["preview"]]
    manifest.write_text(json.dumps(content))
    trials = plan.directory / "trials.jsonl"
    lines = [json.loads(line) for line in trials.read_text().splitlines()]
    older = [line | {"config": without_new_fields(line["config"])} for line in lines]
    trials.write_text("".join(json.dumps(line) + "\n" for line in older))
    return plan.directory


def without_new_fields(values: dict[str, Any]) -> dict[str, Any]:
    defaults = {field.name: field.default for field in fields(TrialConfig)}
    return {k: v for k, v in values.items() if k in FIRST or v != defaults[k]}


def test_it_goes_on_where_new_fields_have_their_defaults(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "ema" not in json.loads((old / "manifest.json").read_text())["preview"][0]
    assert main(["--resume", "old", "--out", str(old.parent)]) == 0
    assert "Best: the baseline, val_top1 0.500" in capsys.readouterr().out


@pytest.mark.parametrize("changes", [{"lr": 0.5}, {"ema": 0.5}, {"field_that_has_gone": 1}])
def test_a_run_of_another_space_is_refused(
    old: Path, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((old / "manifest.json").read_text())
    manifest["preview"][0] |= changes
    (old / "manifest.json").write_text(json.dumps(manifest))
    assert main(["--resume", "old", "--out", str(old.parent)]) == 2
    assert "must go on with the space it began with" in capsys.readouterr().err
