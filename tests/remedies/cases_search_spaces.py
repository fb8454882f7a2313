"""Errors about spaces: how they are found, what they search, and what a run recorded of them."""

import shutil
from pathlib import Path

import pytest
import torch

from results.store import read_manifest
from search import spaces
from search.config.command_line import resolve
from search.planning.plan import make_plan
from search.preflight import ROOT
from tests.remedies.harness import Steps, case
from tests.remedies.searches import copy_run, plan_search, resume, write_space
from tests.search.session_on_curves import opened, planned, search
from trainables.config import TrialConfig
from trainables.models.network import build

FOUND = "search/spaces/__init__.py"
RANGES = "search/study/searched_ranges.py"
SAME = "search/planning/same_space.py"
LR = 'float("lr", 1e-3, 1e-2)'
NETWORK = TrialConfig(network="resnet10", stem="imagenet", image_size=32)


@case(f"{FOUND}::find_space", "must be a known name")
def a_misspelt_space(tmp_path: Path) -> Steps:
    command = plan_search(tmp_path, space="dmeo")
    refusal = yield command
    refusal.command()()
    return command.replace("dmeo", refusal.find(r"did you mean (\w+)\?"))


@case(f"{FOUND}::find_space", "must be a known name")
def an_unknown_space(tmp_path: Path) -> Steps:
    command = plan_search(tmp_path, space="mine")
    refusal = yield command
    return command.replace("mine", refusal.find(r"known are (\w+),"))


@case(f"{FOUND}::_from_file", "doesn't exist")
def a_space_whose_file_is_missing(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr=LR)
    command = plan_search(tmp_path, space=tmp_path / "mien.py")
    refusal = yield command
    assert "give the path of a file, or a name" in refusal.text
    command.replace(tmp_path / "mien.py", "demo")()
    return command.replace(tmp_path / "mien.py", path)


@case(f"{FOUND}::_from_file", "can't be read")
def a_space_with_a_syntax_error(tmp_path: Path) -> Steps:
    path = tmp_path / "mine.py"
    path.write_text("SPACE = (", encoding="utf-8")
    refusal = yield plan_search(tmp_path, space=path)
    assert "SyntaxError: '(' was never closed (mine.py, line 1)); mend the file." in refusal.text
    write_space(path, lr=LR)


@case(f"{FOUND}::_space_of", "must define SPACE")
def a_file_without_a_space(tmp_path: Path) -> Steps:
    path = tmp_path / "mine.py"
    path.write_text("LR = 1\n", encoding="utf-8")
    refusal = yield plan_search(tmp_path, space=path)
    examples = ROOT / refusal.find(r"see (\S+)/\.")
    shutil.copy(examples / "demo.py", path)


@case("search/space.py::ask_space", "mend the space")
def a_space_that_fails(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr='float("lr", 1e-2, 1e-3)')
    refusal = yield plan_search(tmp_path, space=path)
    assert "ValueError" in refusal.text
    write_space(path, lr=LR)


@case(
    f"{SAME}::examine_space", "SpaceError(errors)", f"{RANGES}::describe_outside", "widen it"
)  # fmt: skip
def a_range_without_the_baseline(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr='float("lr", 1e-2, 1e-1)')
    command = plan_search(tmp_path, space=path)
    refusal = yield command
    option, field = refusal.options("--set")
    command.add(option, field.replace("VALUE", "0.02"))()
    least = refusal.find(r"must hold the baseline's (\S+), but")
    write_space(path, lr=f'float("lr", {least}, 1e-1)')


@case(f"{SAME}::examine_space", "SpaceError(errors)", f"{RANGES}::_check_step", "end the range")
def a_step_that_doesn_t_divide_its_range(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", dropout='float("dropout", 0.0, 0.5, step=0.2)')
    refusal = yield plan_search(tmp_path, space=path)
    write_space(path, dropout='float("dropout", 0.0, 0.5, step=0.25)')  # change the step
    plan_search(tmp_path, space=path)()
    end = refusal.find(r"end the range at (\S+),")
    write_space(path, dropout=f'float("dropout", 0.0, {end}, step=0.2)')


BY_CHOICE = 'float("lr", 1e-3, 1e-2, log=trial.suggest_categorical("flip", [True, False]))'


@case(f"{SAME}::examine_space", "SpaceError(errors)", f"{RANGES}::_check_step", "end the range")
def a_step_with_many_digits(tmp_path: Path) -> Steps:
    lr = 'float("lr", 0.00133333333, {}, step=0.00066666667)'
    path = write_space(tmp_path / "mine.py", lr=lr.format(0.0095))
    refusal = yield plan_search(tmp_path, space=path)
    write_space(path, lr=lr.format(refusal.find(r"end the range at (\S+),")))


@case(
    f"{SAME}::examine_space", "SpaceError(errors)",
    f"{RANGES}::find_incompatible", "must have ranges of one kind",
)  # fmt: skip
def a_range_of_two_kinds(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr=BY_CHOICE)
    refusal = yield plan_search(tmp_path, space=path)
    assert "give it one range" in refusal.text
    write_space(path, lr=LR, flip='categorical("flip", [True, False])')


WRONG = f"{RANGES}::find_wrong_priors"


@case(f"{SAME}::examine_space", "SpaceError(errors)", WRONG, "must belong to a parameter")
def a_prior_of_a_misspelt_parameter(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", prior='{"lrr": Prior(2e-3, 0.5)}', lr=LR)
    refusal = yield plan_search(tmp_path, space=path)
    name = refusal.find(r"did you mean (\w+)\?")
    write_space(path, prior=f'{{"{name}": Prior(2e-3, 0.5)}}', lr=LR)


@case(f"{SAME}::examine_space", "SpaceError(errors)", WRONG, "must have a value of its range")
def a_prior_outside_of_its_range(tmp_path: Path) -> Steps:
    prior = '{"lr": Prior(2e-2, 0.5), "flip": Prior(1, 0.5)}'
    path = write_space(tmp_path / "mine.py", prior=prior, lr=LR)
    refusal = yield plan_search(tmp_path, space=path)
    assert "searched are lr; correct the name, or leave this prior out." in refusal.text
    wider = 'float("lr", 1e-3, 3e-2)'
    write_space(path, prior='{"lr": Prior(2e-2, 0.5)}', lr=wider)
    plan_search(tmp_path, space=path)()
    least = refusal.find(r"value of its range, (\S+) …")
    write_space(path, prior=f'{{"lr": Prior({least}, 0.5)}}', lr=LR)


@case(f"{SAME}::examine_space", "SpaceError(errors)", WRONG, "must have a confidence between")
def a_prior_of_too_much_confidence(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", prior='{"lr": Prior(2e-3, 50)}', lr=LR)
    refusal = yield plan_search(tmp_path, space=path)
    sure = refusal.find(r"write (\S+) where you are half sure")
    write_space(path, prior=f'{{"lr": Prior(2e-3, {sure})}}', lr=LR)


@case(f"{SAME}::examine_space", "SpaceError(errors)", WRONG, "must be Prior(value, confidence)")
def a_prior_that_is_a_bare_number(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", prior='{"lr": 2e-3}', lr=LR)
    refusal = yield plan_search(tmp_path, space=path)
    assert "write it as one" in refusal.text
    write_space(path, prior='{"lr": Prior(2e-3, 0.5)}', lr=LR)


@case("search/planning/bounds.py::find_bounds", "ConfigError")
def an_end_of_a_range_that_a_rule_forbids(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", ema='float("ema", 0.0, 1.0)')
    command = plan_search(tmp_path, space=path)
    refusal = yield command
    assert "At the ends of the space's ranges ema must lie in [0, 1), but got" in refusal.text
    command.add(refusal.find(r"fix the field with (--set)\."), "ema=0.9")()
    write_space(path, ema='float("ema", 0.0, 0.99)')  # narrow that range


def begin(tmp_path: Path, data: Path, **options: object) -> Path:
    """Makes a run of three trials, and returns its folder."""
    plan = planned(tmp_path, data, options, name="run", trials=3)
    search(plan)
    return plan.directory


@case(f"{SAME}::examine_space", "accept the change with --accept-space")
def a_run_whose_space_has_changed(tmp_path: Path, tiny_data: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr=LR)
    run = begin(tmp_path, tiny_data, space=str(path))
    write_space(path, lr='float("lr", 2e-3, 1e-2)')
    refusal = yield resume(run)
    resume(run, refusal.find(r"with (--accept-\w+)"))()
    plan_search(tmp_path, "--set", "image_size=32", space=path)()  # a new run
    shutil.copy(Path(refusal.find(r"Restore it \((\S+) holds a copy\)")) / path.name, path)


@case(
    f"{SAME}::examine_space", "SpaceError(errors) #2",
    f"{RANGES}::find_incompatible", "must have ranges of one kind",
)  # fmt: skip
def a_space_that_has_changed_to_a_range_of_two_kinds(tmp_path: Path, tiny_data: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr=LR)
    run = begin(tmp_path, tiny_data, space=str(path))
    write_space(path, lr=BY_CHOICE)
    yield resume(run, "--accept-space")
    write_space(path, lr='float("lr", 1e-3, 2e-2)')  # one range


@case(f"{SAME}::find_space_of_run", "The run's copy is")
def a_run_whose_space_is_gone(tmp_path: Path, tiny_data: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr=LR)
    run = begin(tmp_path, tiny_data, space=str(path))
    path.unlink()
    refusal = yield resume(run)
    return resume(run, "--space", refusal.find(r"The run's copy is (\S+)\.$"))


@case(f"{SAME}::find_space_of_run", "The run's copy is")
def a_run_whose_space_has_no_name_any_more(
    tmp_path: Path, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    run = copy_run(searched, tmp_path)
    monkeypatch.setattr(spaces, "space_names", lambda: ["resnet50"])
    refusal = yield resume(run)
    return resume(run, "--space", refusal.find(r"The run's copy is (\S+)\.$"))


@case(f"{SAME}::examine_space", "accept the change with --accept-space")
def a_run_whose_space_has_changed_twice(tmp_path: Path, tiny_data: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr=LR)
    run = begin(tmp_path, tiny_data, space=str(path))
    write_space(path, lr='float("lr", 2e-3, 1e-2)')
    options, _ = resolve(read_manifest(run)["options"])
    plan, _ = make_plan(options, resuming=True, accept_space=True)
    assert plan
    opened(plan).close()
    write_space(path, lr='float("lr", 1e-3, 5e-3)')
    refusal = yield resume(run)
    shutil.copy(Path(refusal.find(r"Restore it \((\S+) holds a copy\)")) / path.name, path)


@case(f"{SAME}::_check_weights", "restore the file, or begin a new run")
def weights_that_have_changed(tmp_path: Path, tiny_data: Path, one_torch_process: None) -> Steps:
    weights = tmp_path / "weights.pt"
    first, second = (build(NETWORK, 20).state_dict() for _ in range(2))
    torch.save(first, weights)
    run = begin(tmp_path, tiny_data, weights=str(weights))
    torch.save(second, weights)
    refusal = yield resume(run)
    plan_search(tmp_path, "--weights", weights, "--set", "image_size=32", "stem=imagenet")()
    torch.save(first, Path(refusal.find(r"those of (\S+), but")))
