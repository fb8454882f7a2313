"""A run that began before a field of `TrialConfig` existed goes on."""

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from datasets.access import open_search_data
from results.export import export
from results.store import read_manifest, read_trials
from search.config.command_line import resolve
from search.early_stopping.decision import COMPLETE
from search.planning.plan import Plan, make_plan
from search.ray_backend import worker
from search.run import main
from search.session import execute
from tests.search.study_on_curves import metrics
from tests.search.tasks import task_of
from trainables.config import TrialConfig
from trainables.final_model.best_config import read_best
from trainables.training import checkpoint_writer

FIRST = {"network", "image_size", "optimizer", "lr", "batch_size", "epochs", "precision"}
"""Fields that a first version may have had."""


def planned(out: Path, data: Path, epochs: int = 1) -> Plan:
    small = ["batch_size=16", "image_size=32"]
    options, errors = resolve(
        {"space": "demo", "dataset": "tiny-imagenet", "data": str(data.parent), "out": str(out),
         "name": "old", "trials": 1, "epochs": epochs, "precision": "float32", "set": small}
    )  # fmt: skip
    plan, more = make_plan(options, resuming=(out / "old").exists())
    assert plan is not None, errors + more
    return plan


@pytest.fixture
def old(tmp_path: Path, tiny_data: Path) -> Path:
    """A finished run of one trial, its configurations as a version with fewer fields wrote them."""
    plan = planned(tmp_path, tiny_data)
    session = execute.open_session(plan, open_search_data(tiny_data), "float32", None)
    assert session.study.ask()
    assert session.study.report(0, metrics(1, 0.5))
    session.close()
    age(plan.directory)
    return plan.directory


def age(run: Path) -> None:
    """Makes the files in `run` those of a version with fewer fields."""
    manifest = run / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content["preview"] = [older(values) for values in content["preview"]]
    del (
        content["dataset"]["image_size"],
        content["dataset"]["class_ids"],
        content["sha256"],
        content["chain"],
    )
    manifest.write_text(json.dumps(content), encoding="utf-8")
    for path in (run / "epochs.jsonl", run / "trials.jsonl"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r',"chain":"\w+"}', "}", text), encoding="utf-8")
    trials = run / "trials.jsonl"
    lines = [json.loads(line) for line in trials.read_text(encoding="utf-8").splitlines()]
    lines = [line | {"config": older(line["config"])} for line in lines]
    trials.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def older(values: dict[str, Any]) -> dict[str, Any]:
    """What was known, and beside every schedule what later counted beside `step` only."""
    defaults = {field.name: field.default for field in fields(TrialConfig)}
    known = {k: v for k, v in values.items() if k in FIRST or v != defaults[k]}
    return {"step_epochs": 7, "step_factor": 0.1} | known


def test_it_goes_on_where_new_fields_have_their_defaults(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        "ema" not in json.loads((old / "manifest.json").read_text(encoding="utf-8"))["preview"][0]
    )
    assert main(["--resume", "old", "--out", str(old.parent)]) == 2  # it isn't signed
    refusal = capsys.readouterr().err
    words = shlex.split(refusal.partition("`")[2].partition("`")[0])
    assert main(words[3:]) == 0
    assert "Best: the baseline, val_top1 0.500" in capsys.readouterr().out


def test_its_best_configuration_is_exported_and_read(old: Path) -> None:
    best = read_best(export(old))
    assert best.config == TrialConfig.from_record(read_trials(old)[0].config)
    assert (best.config.step_epochs, best.image_size, best.class_ids) == (None, None, None)


def test_its_unfinished_trial_goes_on_from_its_checkpoint(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second epoch has the numbers of a training that was never interrupted."""
    monkeypatch.setattr(checkpoint_writer, "SAVE_EVERY_S", 0.0)
    plan, data = planned(tmp_path, tiny_data, epochs=2), open_search_data(tiny_data)
    session = execute.open_session(plan, data, "float32", None)
    proposal = session.study.ask()
    assert proposal is not None
    task = task_of(proposal, data=tiny_data, checkpoint=session.store.checkpoint(0).resolve())
    running = worker.train_epochs(task)
    first, second = next(running), next(running)  # the second is lost: it isn't recorded
    session.study.report(0, first)
    session.close()
    running.close()  # type: ignore[attr-defined]
    age(plan.directory)

    again = execute.open_session(
        planned(tmp_path, tiny_data, epochs=2), data, "float32", read_manifest(plan.directory)
    )
    resumed = again.study.ask()
    assert resumed is not None
    assert (resumed.config, resumed.epochs_done) == (proposal.config, 1)
    (trained,) = worker.train_epochs(
        task_of(resumed, data=tiny_data, checkpoint=again.store.checkpoint(0).resolve())
    )
    assert (trained.epoch, trained.train_loss) == (2, second.train_loss)
    assert again.study.report(0, trained) == COMPLETE
    again.close()
    assert read_manifest(plan.directory)["dataset"]["image_size"] == 64
    assert read_best(export(plan.directory)).class_ids == data.images.class_ids


@pytest.mark.parametrize("changes", [{"lr": 0.5}, {"ema": 0.5}, {"field_that_has_gone": 1}])
def test_a_run_of_another_space_is_refused(
    old: Path, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((old / "manifest.json").read_text(encoding="utf-8"))
    manifest["preview"][0] |= changes
    manifest.pop("sha256", None)
    (old / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    data = manifest["options"]["data"]
    assert main(["--resume", "old", "--out", str(old.parent), "--data", data]) == 2
    assert "must go on with the space it began with" in capsys.readouterr().err
