"""A run goes on with the space that it began with, or with a changed one that was accepted."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from results.analysis.rung_values import read_proposals
from results.analysis.searched_ranges import Prior, read_priors, read_ranges
from results.export import best_config
from results.records import TrialState
from results.store import MANIFEST, read_manifest, read_trials
from search.config.command_line import resolve
from search.monitoring.plans.plan_text import show_plan
from search.planning.plan import Plan, make_plan, make_proposer
from search.planning.same_space import lies_inside
from search.run import main
from search.session import execute
from tests.search.session_on_curves import opened, search
from trainables.config import TrialConfig
from trainables.models.network import build

SPACE = """
from search.space import Space
from trainables.config import TrialConfig

def suggest(trial):
    v = {"optimizer": trial.suggest_categorical("optimizer", ["adamw", "sgd"])}
    if v["optimizer"] == "sgd":
        v["lr"] = trial.suggest_float("lr", 1e-2, 1.0, log=True)
        v["momentum"] = trial.suggest_float("momentum", 0.5, 0.99)
    else:
        v["lr"] = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
    return v

SPACE = Space(summary="range depends on a choice", dataset="demo",
              baseline=TrialConfig(network="resnet10", stem="small", lr=1e-3, epochs=2),
              suggest=suggest)
"""
CHOICES = SPACE.replace(
    'trial.suggest_float("momentum", 0.5, 0.99)',
    'trial.suggest_categorical("momentum", [0.0, 0.3, 0.9])',
)
NARROW = SPACE.replace("0.5, 0.99", "0.8, 0.99")


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(SPACE, encoding="utf-8")
    return path


Make = Callable[..., tuple[Plan | None, list[str]]]


@pytest.fixture
def make(tmp_path: Path, tiny_data: Path, space: Path) -> Make:
    """Makes the plan of the run «run», which goes on where it exists, or the errors."""

    def make(*, accept: bool = False, **changes: Any) -> tuple[Plan | None, list[str]]:
        resuming = (tmp_path / "run").exists()
        saved = read_manifest(tmp_path / "run")["options"] if resuming else {
            "space": str(space), "dataset": "tiny-imagenet", "data": str(tiny_data.parent),
            "out": str(tmp_path), "name": "run", "trials": 8, "epochs": 3, "grace": 1,
            "precision": "float32", "set": ["batch_size=16", "image_size=32"],
        }  # fmt: skip
        options, errors = resolve(saved, changes)
        assert errors == []
        return make_plan(options, resuming=resuming, accept_space=accept)

    return make


def sound(made: tuple[Plan | None, list[str]]) -> Plan:
    plan, errors = made
    assert plan is not None, errors
    return plan


def momenta(directory: Path) -> dict[int, float]:
    """The momentum of each trial with SGD, by number."""
    params = {n: r.params for n, r in read_trials(directory).items()}
    return {n: each["momentum"] for n, each in params.items() if "momentum" in each}


def test_a_run_holds_a_copy_of_its_space_and_its_ranges(make: Make, space: Path) -> None:
    plan = sound(make())
    search(plan)
    assert (plan.directory / "space" / "mine.py").read_text(encoding="utf-8") == SPACE
    manifest = read_manifest(plan.directory)
    assert [(each.name, each.describe()) for each in read_ranges(manifest)] == [
        ("optimizer", "one of adamw, sgd"),
        ("lr", "0.0001 … 0.01, log where optimizer is adamw"),
        ("lr", "0.01 … 1, log where optimizer is sgd"),
        ("momentum", "0.5 … 0.99 where optimizer is sgd"),
    ]
    again = sound(make(trials=10))
    assert (again.searched.digest, again.searched.notes) == (manifest["searched"]["digest"], ())
    assert len(search(again).records) == 10
    assert [path.name for path in (plan.directory / "space").iterdir()] == ["mine.py"]


PRIOR = SPACE.replace("import Space", "import Prior, Space").replace(
    "suggest=suggest)", "suggest=suggest, prior={'lr': Prior(2e-3, 0.5)})"
)


def test_a_run_goes_on_with_another_prior_only_where_that_is_accepted(
    make: Make,
    space: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space.write_text(PRIOR, encoding="utf-8")
    plan = sound(make())
    monkeypatch.setenv("COLUMNS", "160")
    show_plan(plan, None, None, None, ())
    shown = capsys.readouterr().out
    assert "0.0001 … 0.01, log where optimizer is adamw (prior: 0.002" in shown
    assert "priors decide" not in shown
    several = replace(plan.options, objectives="val_top1,latency_ms")
    show_plan(replace(plan, options=several), None, None, None, ())
    assert "priors decide one trial alone where there are several" in capsys.readouterr().out
    search(plan)
    manifest = read_manifest(plan.directory)
    assert manifest["searched"]["priors"] == {"lr": {"value": 2e-3, "confidence": 0.5}}
    assert read_priors(manifest) == {"lr": Prior(2e-3, 0.5)}
    second = read_trials(plan.directory)[1]
    assert second.params["lr"] == 2e-3
    assert sound(make()).searched.notes == ()
    space.write_text(SPACE, encoding="utf-8")
    errors = make()[1]
    assert "the prior of lr is none (it was 0.002 with confidence 0.5)" in errors[0]
    again = sound(make(accept=True))
    assert "the prior of lr is none" in again.searched.notes[0]
    assert again.searched.outside == frozenset()


def test_a_prior_that_came_later_changes_no_run_unless_that_is_accepted(
    make: Make, space: Path
) -> None:
    search(sound(make()))
    space.write_text(PRIOR, encoding="utf-8")
    plan = sound(make(trials=9))
    assert (plan.space.prior, plan.searched.priors) == ({}, {})
    assert plan.searched.notes[-1].startswith("the space has got a prior since the run began")
    accepted = sound(make(accept=True))
    assert accepted.space.prior == {"lr": Prior(2e-3, 0.5)}
    assert "the prior of lr is 0.002" in accepted.searched.notes[0]


@pytest.mark.parametrize(
    ("text", "change"),
    [
        (CHOICES, "momentum is one of 0.0, 0.3, 0.9 where optimizer is sgd (it was 0.5 … 0.99 "
                  "where optimizer is sgd)"),
        (NARROW, "momentum is 0.8 … 0.99 where optimizer is sgd (it was 0.5 … 0.99 where "
                 "optimizer is sgd)"),
        (SPACE.replace("lr=1e-3", "lr=2e-3"), "its baseline is another one"),
        (SPACE.replace("    return v", '    if v["lr"] < 1e-3:\n        v["ema"] = '
                       'trial.suggest_categorical("ema", [0.0, 0.9])\n    return v'),
         "ema is one of 0.0, 0.9 in some trials (it was not searched)"),
    ],
)  # fmt: skip
def test_a_changed_space_is_refused_by_name(
    make: Make, space: Path, tmp_path: Path, text: str, change: str, capsys: Any
) -> None:
    search(sound(make()))
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    space.write_text(text, encoding="utf-8")
    (error,) = make(trials=12)[1]
    assert error == (
        f"A run must go on with the space it began with, but {space} has changed: {change}. "
        f"Restore it ({tmp_path / 'run' / 'space'} holds a copy), begin a new run, or accept the "
        "change with --accept-space: then trials outside of the space are no evidence any more."
    )
    assert main(["--resume", "run", "--out", str(tmp_path)]) == 2
    assert change in capsys.readouterr().err
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.parametrize("text", [CHOICES, NARROW])
def test_an_accepted_change_goes_on_without_the_trials_outside(
    make: Make, space: Path, tmp_path: Path, text: str
) -> None:
    search(sound(make(trials=20)))
    before = momenta(tmp_path / "run")
    old = read_trials(tmp_path / "run")
    space.write_text(text, encoding="utf-8")
    plan = sound(make(accept=True, trials=40))
    inside = {n for n, each in before.items() if each >= 0.8} if text == NARROW else set()
    assert plan.searched.outside == set(before) - inside
    assert len(plan.searched.outside) > 1
    assert (plan.searched.since, plan.searched.renewed) == (max(old) + 1, True)
    assert plan.searched.notes[1] == (
        f"{len(plan.searched.outside)} of 20 trials lie outside of the space as it is now, and the "
        "sampler doesn't learn from them"
    )
    study = search(plan)
    assert {n: study.records[n] for n in old} == old
    assert len(study.records) == 40
    assert all(r.state is not TrialState.FAILED for r in study.records.values())
    new = {n: each for n, each in momenta(tmp_path / "run").items() if n not in old}
    assert len(new) > 2
    allowed = {0.0, 0.3, 0.9} if text == CHOICES else None
    assert all(each in allowed if allowed else 0.8 <= each <= 0.99 for each in new.values())
    gains = [record.gain for record in study.records.values() if record.number not in old]
    assert [gain and gain["ended"] for gain in gains] == [None] * 9 + list(range(10, 21))
    assert plan.first == plan.searched.since
    assert len(study._evidence()) == 40 - len(plan.searched.outside)
    trials = read_proposals(tmp_path / "run")
    assert len(trials) >= 40
    assert {n for n in old if not trials[n].params} == plan.searched.outside
    assert (tmp_path / "run" / "space" / "mine.py").read_text(encoding="utf-8") == SPACE
    assert (tmp_path / "run" / "space" / "session-2" / "mine.py").read_text(
        encoding="utf-8"
    ) == text
    third = sound(make(trials=42))  # it needs no second consent
    assert third.searched.outside == plan.searched.outside
    assert len(search(third).records) == 42


def test_an_accepted_change_continues_what_was_unfinished(make: Make, space: Path) -> None:
    plan = sound(make())
    search(plan, epochs=7)
    (open_trial,) = [
        n for n, r in read_trials(plan.directory).items() if r.state is TrialState.RUNNING
    ]
    space.write_text(CHOICES, encoding="utf-8")
    study = search(sound(make(accept=True)))
    assert study.records[open_trial].state is not TrialState.RUNNING
    assert study.finished()


def test_a_change_of_the_source_alone_is_reported_and_no_more(
    make: Make, space: Path, tmp_path: Path
) -> None:
    search(sound(make()))
    head, _, tail = SPACE.partition('        v["lr"] = trial.suggest_float("lr", 1e-2')
    lr, momentum, rest = ('        v["lr"] = trial.suggest_float("lr", 1e-2' + tail).split("\n", 2)
    space.write_text(
        "\n".join([head.rstrip("\n"), momentum, lr, rest]) + "# the other way round\n",
        encoding="utf-8",
    )
    plan = sound(make(trials=10))
    assert plan.searched.notes == (
        "mine.py has changed since the run began, but the ranges are the same",
    )
    search(plan)
    copies = tmp_path / "run" / "space"
    assert (
        (copies / "session-2" / "mine.py").read_text(encoding="utf-8")
        == space.read_text(encoding="utf-8")
        != SPACE
    )
    assert sound(make()).searched.notes == ()


def test_a_moved_space_is_given_anew_and_its_content_is_compared(
    make: Make, space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search(sound(make()))
    moved = tmp_path / "elsewhere.py"
    space.rename(moved)
    words = ["--resume", "run", "--out", str(tmp_path), "--dry-run"]
    assert main(words) == 2
    copy = tmp_path / "run" / "space" / "mine.py"
    assert f"The run's copy is {copy}." in capsys.readouterr().err
    for path in (moved, copy):
        assert main([*words, "--space", str(path)]) == 0
        notes = re.findall(r"^note +(on \d+ val images)?", capsys.readouterr().out, re.MULTILINE)
        assert notes == ["on 8 val images"]  # and none on the space
    moved.write_text(NARROW, encoding="utf-8")
    assert main([*words, "--space", str(moved)]) == 2
    assert "momentum is 0.8 … 0.99" in capsys.readouterr().err
    assert main([*words, "--space", str(moved), "--accept-space"]) == 0
    assert "note     the space has changed, as accepted: momentum is" in capsys.readouterr().out


def test_siblings_that_a_space_imports_are_copied_too(
    make: Make, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "sibling_of_mine.py").write_text(
        "import second_of_mine\nLOW = second_of_mine.LOW", encoding="utf-8"
    )
    (tmp_path / "second_of_mine.py").write_text("LOW = 0.5", encoding="utf-8")
    (tmp_path / "unused_of_mine.py").write_text("", encoding="utf-8")
    text = "from sibling_of_mine import LOW\n" + SPACE.replace("0.5, 0.99", "LOW, 0.99")
    space.write_text(text, encoding="utf-8")
    search(sound(make()))
    copies = sorted(path.name for path in (tmp_path / "run" / "space").iterdir())
    assert copies == ["mine.py", "second_of_mine.py", "sibling_of_mine.py"]
    (tmp_path / "second_of_mine.py").write_text("LOW = 0.5  # as published", encoding="utf-8")
    assert "second_of_mine.py has changed" in sound(make()).searched.notes[0]


def age(directory: Path) -> None:
    """Makes a run one of a version that recorded no ranges."""
    manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    del manifest["searched"], manifest["sha256"]
    (directory / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    shutil.rmtree(directory / "space")


def test_a_run_of_before_gets_its_ranges_when_it_goes_on(
    make: Make, space: Path, tmp_path: Path
) -> None:
    search(sound(make()))
    age(tmp_path / "run")
    space.write_text(NARROW, encoding="utf-8")
    (error,) = make(trials=12)[1]
    number = min(momenta(tmp_path / "run"))
    assert f"momentum is 0.8 … 0.99 (it was 0.5 … 0.99 in trial {number}). Restore it," in error
    space.write_text(SPACE, encoding="utf-8")
    search(sound(make(trials=12)))
    assert len(read_manifest(tmp_path / "run")["searched"]["ranges"]) == 4
    assert (tmp_path / "run" / "space" / "mine.py").read_text(encoding="utf-8") == SPACE


RARE = SPACE.replace(
    "    return v",
    '    if v["optimizer"] == "adamw" and 0.000999 < v["lr"] < 0.001001:\n'
    '        v["ema"] = trial.suggest_categorical("ema", [0.0, 0.9])\n    return v',
)


def test_a_range_that_only_a_trial_meets_is_added_and_reported(
    make: Make, space: Path, tmp_path: Path
) -> None:
    """The baseline alone has so special a learning rate."""
    space.write_text(RARE, encoding="utf-8")
    plan, said = sound(make()), list[str]()
    session = execute.open_session(plan, opened_data(plan), "float32", None, said.append)
    assert session.study.ask()
    session.close()
    assert said == ["note: a trial met another range of ema: one of 0.0, 0.9 in some trials."]
    later = [each for each in read_ranges(read_manifest(plan.directory)) if each.later]
    assert [each.name for each in later] == ["ema"]
    again = sound(make())
    assert [each for each in again.searched.ranges if each.later] == later
    space.write_text(RARE.replace("0.9])", "0.8])"), encoding="utf-8")
    assert "ema is one of 0.0, 0.8 (it was one of 0.0, 0.9 in trial 0)" in make()[1][0]


def test_evidence_of_earlier_runs_counts_where_it_lies_inside(make: Make, space: Path) -> None:
    space.write_text(NARROW, encoding="utf-8")
    proposer = make_proposer(sound(make()))
    sgd = {"optimizer": "sgd", "lr": 0.1}
    assert lies_inside(sgd | {"momentum": 0.9}, proposer)
    assert not lies_inside(sgd | {"momentum": 0.6}, proposer)
    assert not lies_inside({"optimizer": "adamw", "lr": 0.1}, proposer)
    assert not lies_inside({"optimizer": "adamw", "lr": 1e-3, "momentum": 0.9}, proposer)
    assert not lies_inside({"optimizer": "lion", "lr": 1e-3}, proposer)


def opened_data(plan: Plan) -> Any:
    from datasets.access import open_search_data

    return open_search_data(plan.data)


@pytest.mark.usefixtures("one_torch_process")
def test_moved_weights_are_given_anew_and_their_content_is_compared(
    make: Make, space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights.pt"
    with_stem = TrialConfig(network="resnet10", stem="imagenet")
    torch.save(build(with_stem, num_classes=7).state_dict(), weights)
    pretrained = ["batch_size=16", "image_size=32", "stem=imagenet"]
    search(sound(make(weights=str(weights), set=pretrained)), epochs=5)
    moved = tmp_path / "moved.pt"
    weights.rename(moved)
    words = ["--resume", "run", "--out", str(tmp_path), "--dry-run"]
    assert main(words) == 2
    assert "weights.pt is no file" in capsys.readouterr().err
    assert main([*words, "--weights", str(moved)]) == 0
    assert main([*words, "--set", f"weights={moved}"]) == 0
    session = opened(sound(make(weights=str(moved))))
    unfinished = session.study.ask()
    session.close()
    assert best_config(tmp_path / "run")["config"]["weights"] == str(moved)
    assert unfinished is not None
    assert (unfinished.epochs_done > 0, unfinished.config.weights) == (True, str(moved))
    moved.write_bytes(b"other weights")
    assert main([*words, "--weights", str(moved)]) == 2
    assert f"{moved} has another content; restore the file" in capsys.readouterr().err
    assert main([*words, "--weights", "none"]) == 2
    assert "--weights can't change when a run goes on" in capsys.readouterr().err
    assert main([*words, "--set", "weights=none"]) == 2
    assert "--set can't change when a run goes on" in capsys.readouterr().err


def test_consent_goes_with_a_run_that_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--space", "demo", "--accept-space", "--dry-run"]) == 2
    assert "--accept-space goes with --resume only" in capsys.readouterr().err
