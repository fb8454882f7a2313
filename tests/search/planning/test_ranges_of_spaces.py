"""Ranges that depend on a choice, and ranges that don't hold the baseline."""

import warnings
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from results.analysis.searched_ranges import SearchedRange
from search.config.command_line import resolve
from search.planning.plan import Plan, make_plan
from search.run import main
from search.space import Space
from search.study.proposer import Proposer
from search.study.searched_ranges import digest_of, find_ranges, merge_ranges
from trainables.config import TrialConfig

HEAD = """
from search.space import Space
from trainables.config import TrialConfig

def suggest(trial):
"""


def written(tmp_path: Path, body: str, baseline: str = "network='resnet18'") -> Path:
    path = tmp_path / "mine.py"
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    path.write_text(
        f"{HEAD}{lines}\nSPACE = Space(summary='made', dataset='demo', suggest=suggest,\n"
        f"              baseline=TrialConfig({baseline}))\n",
        encoding="utf-8",
    )
    return path


def planned(path: Path, **values: Any) -> tuple[Plan | None, list[str]]:
    options, errors = resolve({"space": str(path), "out": str(path.parent)} | values)
    assert errors == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return make_plan(options, resuming=False)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "return {'lr': trial.suggest_float('lr', 1e-2, 1.0, log=True)}",
            "The range of lr must hold the baseline's 0.001, but is 0.01 … 1, log; widen it, or "
            "fix the field with --set lr=VALUE.",
        ),
        (
            "return {'dropout': trial.suggest_float('dropout', 0.0, 0.5, step=0.2)}",
            "The step of dropout must divide its range, but 0.2 doesn't divide 0 … 0.5; end the "
            "range at 0.4, or change the step.",
        ),
        (
            "return {'batch_size': trial.suggest_int('batch_size', 16, 100, step=16)}",
            "The step of batch_size must divide its range, but 16 doesn't divide 16 … 100; end the "
            "range at 96, or change the step.",
        ),
        (
            "return {'batch_size': trial.suggest_int('batch_size', 48, 112, step=32)}",
            "The range of batch_size must hold the baseline's 64, but is 48 … 112, step 32; widen "
            "it, or fix the field with --set batch_size=VALUE.",
        ),
    ],
)
def test_a_range_without_the_baseline_or_with_a_wrong_step_is_one_sentence(
    tmp_path: Path, body: str, sentence: str
) -> None:
    path = written(tmp_path, body, "network='resnet18', lr=1e-3, batch_size=64")
    assert planned(path) == (None, [sentence])


def test_a_fixed_field_needs_no_range(tmp_path: Path) -> None:
    path = written(tmp_path, "return {'lr': trial.suggest_float('lr', 1e-2, 1.0, log=True)}")
    plan, errors = planned(path, set=["lr=0.5"])
    assert errors == []
    assert plan is not None
    assert plan.searched.ranges == ()


def test_a_wrong_step_in_a_branch_is_found_before_the_search(tmp_path: Path) -> None:
    body = """
values = {'head_width': trial.suggest_int('head_width', 0, 19)}
if values['head_width'] == 7:
    values['dropout'] = trial.suggest_float('dropout', 0.0, 0.5, step=0.2)
return values
"""
    assert "The step of dropout must divide its range" in planned(written(tmp_path, body))[1][0]


BY_STEM = """
stem = trial.suggest_categorical('stem', ['imagenet', 'small'])
if stem == 'small':
    size = trial.suggest_int('image_size', 32, 64, step=16)
else:
    size = trial.suggest_int('image_size', 64, 224, step=32)
return {'stem': stem, 'image_size': size}
"""


def test_a_range_that_depends_on_a_choice_is_shown_as_such_and_counts_by_its_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice: the bounds hold the largest size although the last branch met may be the other."""
    path = written(tmp_path, BY_STEM, "network='resnet18', image_size=64")
    for seed in range(4):
        plan, errors = planned(path, seed=seed)
        assert errors == []
        assert plan is not None
        assert plan.bounds.largest.image_size == 224
    assert main(["--space", str(path), "--dry-run", "--out", str(tmp_path)]) == 0
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "│ image_size │ 32 … 64, step 16 where stem is small │ 64 │" in shown
    assert "│ image_size │ 64 … 224, step 32 where stem is imagenet │ 64 │" in shown


def test_the_start_check_of_a_library_s_network_has_both_ends_of_all_branches(
    tmp_path: Path,
) -> None:
    body = """
if trial.suggest_categorical('optimizer', ['adamw', 'sgd']) == 'sgd':
    return {'optimizer': 'sgd', 'image_size': trial.suggest_int('image_size', 32, 64, step=32)}
return {'optimizer': 'adamw', 'image_size': trial.suggest_int('image_size', 64, 96, step=32)}
"""
    path = written(tmp_path, body, "network='torchvision:resnet18', image_size=64")
    plan, errors = planned(path)
    assert errors == []
    assert plan is not None
    assert [config.image_size for config in plan.bounds.starting] == [32, 96]


@pytest.mark.parametrize(
    ("other", "shown"),
    [
        ("trial.suggest_categorical('dropout', [0.0, 0.1])", "one of 0.0, 0.1"),
        ("trial.suggest_float('dropout', 1e-3, 0.5, log=True)", "0.001 … 0.5, log"),
    ],
)
def test_ranges_that_optuna_refuses_within_one_study_are_found_before_the_search(
    tmp_path: Path, other: str, shown: str
) -> None:
    """Even in a branch that few trials take."""
    body = f"""
width = trial.suggest_int('head_width', 0, 19)
if width == 7:
    return {{'head_width': width, 'dropout': {other}}}
return {{'head_width': width, 'dropout': trial.suggest_float('dropout', 0.0, 0.5)}}
"""
    (error,) = planned(written(tmp_path, body))[1]
    assert error.startswith("dropout must have ranges of one kind, with one scale and the same")
    assert shown in error
    assert "0 … 0.5 in " in error


def test_ranges_of_several_branches_merge_to_all_of_them() -> None:
    ranges = [
        SearchedRange(name="lr", distribution=FloatDistribution(1e-4, 1e-2, log=True)),
        SearchedRange(name="lr", distribution=FloatDistribution(1e-2, 1.0, log=True)),
        SearchedRange(name="depth", distribution=IntDistribution(0, 2)),
        SearchedRange(name="depth", distribution=IntDistribution(3, 4)),
        SearchedRange(name="ema", distribution=FloatDistribution(0.0, 0.8, step=0.4)),
    ]
    assert merge_ranges(ranges) == {
        "lr": FloatDistribution(1e-4, 1.0),
        "depth": IntDistribution(0, 4),
        "ema": FloatDistribution(0.0, 0.8, step=0.4),
    }


def conditions(suggest: Any) -> dict[str, list[str]]:
    """Each parameter's ranges in words."""
    space = Space(
        summary="made", dataset="demo", baseline=TrialConfig(network="resnet18"), suggest=suggest
    )
    found: dict[str, list[str]] = {}
    for each in find_ranges(Proposer(space, {}, 0).probe()):
        found.setdefault(each.name, []).append(each.describe())
    return found


def test_a_condition_may_be_a_pair_of_choices_or_unknown() -> None:
    def suggest(trial: Any) -> dict[str, Any]:
        flip = trial.suggest_categorical("flip", [True, False])
        policy = trial.suggest_categorical("policy", ["none", "rand"])
        lr = trial.suggest_float("lr", 0.0, 1.0)
        if flip and policy == "rand":
            trial.suggest_int("policy_magnitude", 1, 2)
        if lr > 0.5:
            trial.suggest_int("cutout", 1, 2)
        return {}

    found = conditions(suggest)
    assert found["policy_magnitude"] == ["1 … 2, step 1 where flip True and policy rand"]
    assert found["cutout"] == ["1 … 2, step 1 in some trials"]
    assert found["policy"] == ["one of none, rand"]


def test_the_digest_doesn_t_depend_on_the_order_but_on_every_threshold() -> None:
    def digest(threshold: float, *, late: bool) -> str:
        def suggest(trial: Any) -> dict[str, Any]:
            first = trial.suggest_float("lr", 0.0, 1.0) if not late else None
            trial.suggest_categorical("flip", [True, False])
            lr = trial.suggest_float("lr", 0.0, 1.0) if first is None else first
            if lr > threshold:
                trial.suggest_int("cutout", 1, 2)
            return {}

        baseline = TrialConfig(network="resnet18")
        space = Space(summary="made", dataset="demo", baseline=baseline, suggest=suggest)
        return digest_of(Proposer(space, {}, 0).probe())

    assert digest(0.5, late=True) == digest(0.5, late=False)
    assert digest(0.5, late=True) != digest(0.52, late=True)
