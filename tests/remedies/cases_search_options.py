"""Errors about the options of a search: one by one, together, and on this machine."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from common.errors import SearchError
from search.config.command_line import resolve
from search.security import AUTH_MODE
from tests.remedies.harness import Attempt, Command, Steps, case
from tests.remedies.images import write_images
from tests.remedies.searches import copy_run, plan_search, write_space

RULES = "search/config/validation.py::find_faults"
LINE = "search/config/command_line.py"
MACHINE = "search/planning/option_errors.py"


def rules(*words: str) -> list[str]:
    """Returns the places of rules in one function, as `case` takes them."""
    return [part for each in words for part in (RULES, each)]


def words_of(options: Mapping[str, object]) -> list[object]:
    return [word for option in options.items() for word in option]


@case(
    *rules("must be ≥ 1", "must be ≥ 0", "must be ≥ 0 #2", "must be ≥ 0 and finite"),
    *rules("must be ≥ 0 and below 1"),
    *rules("must lie in 1…{}", "must lie in 0…{}", "must lie in 0…{} #2", "must lie in 0…{} #3"),
    *rules("must lie in 2…{} (an interval needs two values)", "must be ≥ 2", "must lie in 0…1"),
)  # fmt: skip
def numbers_below_their_least(tmp_path: Path) -> Steps:
    wrong: dict[str, object] = {
        "--trials": 0, "--gap-patience": 0, "--epochs": -1, "--finalists": -1, "--seed": -1,
        "--grace": -1, "--plateau-patience": -1, "--gpu-hours": "inf", "--reduction-factor": 1,
        "--repeats": 1, "--max-gap": 2, "--min-gain": -1,
    }  # fmt: skip
    refusal = yield plan_search(tmp_path, *words_of(wrong))
    right = {name: refusal.find(rf"{name} must (?:be ≥ |lie in )(\d+)") for name in wrong}
    assert right.keys() == wrong.keys()
    return plan_search(tmp_path, *words_of(right))


@case(
    *rules("must lie in 1…{}", "must lie in 0…{}", "must lie in 0…{} #2", "must lie in 0…{} #3"),
    *rules("must lie in 2…{} (an interval needs two values)"),
    *rules("must be auto or a whole number in 1…{}"),
)  # fmt: skip
def numbers_above_their_largest(tmp_path: Path) -> Steps:
    names = ("--trials", "--epochs", "--finalists", "--seed", "--repeats", "--concurrency")
    refusal = yield plan_search(tmp_path, *words_of(dict.fromkeys(names, 10**20)))
    largest = {name: refusal.find(rf"{name} must [^.]*? in \d…(\d+)") for name in names}
    usable = {"--trials": 9, "--concurrency": 2}  # others would plan for long
    return plan_search(tmp_path, *words_of(largest | usable))


@case(
    *rules("e.g. 1h30m", "must be 0, or a number above 0", "auto or a whole number in 1"),
    *rules("must be auto, 0 for cores, or a share", "must be auto, float32, bfloat16 or float16"),
    *rules("must be epochs or screening"),
    *rules("must be a folder's name", "must be auto or a port", "must be val_top1, alone"),
    *rules("must be auto, a port in 1…65535, or 0"),
    "search/config/validation.py::cluster_rules", "must be auto or HOST:PORT",
    "search/config/validation.py::tracking_rules", "must be an address",
    "search/config/validation.py::tracking_rules", "must be PROJECT",
)  # fmt: skip
def words_that_an_option_doesn_t_know() -> Steps:
    wrong = {
        "time_budget": "1:04", "stall_timeout": "soon", "concurrency": "two", "precision": "half",
        "gpus_per_trial": "1.5", "name": "a/b", "dashboard_port": "99999", "page_port": "-1",
        "address": "head", "fidelity": "images", "objectives": "latency_ms", "mlflow": "here",
        "wandb": "my project",
    }  # fmt: skip
    refusal = yield checked(wrong)
    right = {
        "time_budget": refusal.find(r"--time-budget must be .*? e\.g\. (\w+)"),
        "stall_timeout": refusal.find(r"--stall-timeout must be .*? e\.g\. (\w+)"),
        "name": "ab",  # without slashes
        "mlflow": refusal.find(r"--mlflow must be an address, such as (\S+)"),
    }
    for name in wrong.keys() - right.keys():
        right[name] = refusal.find(rf"--{name.replace('_', '-')} must be (\w+)")
    return checked(right)


def checked(options: Mapping[str, object]) -> Attempt:
    """Returns an attempt that checks options and nothing else, as some would need a network."""

    def attempt() -> None:
        _, errors = resolve({"space": "demo"}, options)
        if errors:
            raise SearchError(errors)

    return attempt


@case(*rules("must be given"))
def no_space(tmp_path: Path) -> Steps:
    command = plan_search(tmp_path)
    refusal = yield command.without("--space")
    refusal.command()()
    return command


@case(
    *rules("must be 0 beside several --objectives, whose front has no single winner"),
    *rules("must be 0 beside several --objectives, whose front gains in more than val_top1"),
    *rules("must be left out beside several"),
    *rules("must be epochs beside several"),
)
def several_objectives_and_what_needs_one(tmp_path: Path, searched: Path) -> Steps:
    space = write_space(tmp_path / "mine.py", image_size='categorical("image_size", [32, 64])')
    learns = ("--warm-start", copy_run(searched, tmp_path))
    command = plan_search(
        tmp_path, "--objectives", "val_top1,latency_ms", "--finalists", 2, "--min-gain", 0.5,
        "--fidelity", "screening", *learns, space=space,
    )  # fmt: skip
    refusal = yield command
    finalists = refusal.find(r"--finalists must be (\d+) beside")
    gain = refusal.find(r"--min-gain must be (\d+) beside")
    compared = refusal.find(r"--fidelity must be (\w+) beside")
    mended = command.replace(2, finalists).replace(0.5, gain).replace("screening", compared)
    return mended.without("--warm-start")


@case(*rules("must name each run once"))
def the_same_run_twice(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    command = plan_search(tmp_path, "--set", "image_size=32", "--warm-start", run)
    yield command.add(run)
    return command


@case(*rules("must be 127.0.0.1 while RAY_AUTH_MODE"))
def a_dashboard_for_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    monkeypatch.setenv(AUTH_MODE, "disabled")
    command = plan_search(tmp_path, "--dashboard-host", "0.0.0.0")
    refusal = yield command
    command.replace("0.0.0.0", refusal.find(r"must be (\S+) while"))()
    monkeypatch.delenv(refusal.find(r"while (\w+) turns .* \(unset it"))


@case(
    "search/study/objectives.py::find_constant_objectives", "needs networks that differ"
)  # fmt: skip
def an_objective_that_is_the_same_in_all_trials(tmp_path: Path) -> Steps:
    command = plan_search(tmp_path, "--objectives", "val_top1,latency_ms")
    refusal = yield command
    command.replace("val_top1,latency_ms", "val_top1")()  # leave it out
    name = refusal.find(r"searches none of \w+, (\w+)")
    space = write_space(tmp_path / "mine.py", **{name: f'categorical("{name}", [32, 64])'})
    return command.replace("demo", space)


@case(
    RULES, "--set must be KEY=VALUE", f"{LINE}::_merge", "--set must fix a field once",
    f"{MACHINE}::find_set_errors", "--set must not name",
)  # fmt: skip
def fields_that_are_fixed_wrongly(tmp_path: Path) -> Steps:
    command = plan_search(tmp_path, "--set", "epochs=4", "lr", "flip=true", "flip=false")
    refusal = yield command
    instead = refusal.find(r"use (--\w+)\.")
    command = plan_search(tmp_path, instead, 4, "--set", "lr=0.002", "flip=true")
    return command


def in_file(tmp_path: Path, text: str) -> Command:
    """Returns a command with options in a file."""
    (tmp_path / "run.yaml").write_text(text, encoding="utf-8")
    return plan_search(tmp_path, "--config", tmp_path / "run.yaml")


@case(f"{LINE}::_merge", "--set must be KEY=VALUE")
def a_file_that_fixes_no_field(tmp_path: Path) -> Steps:
    yield in_file(tmp_path, "set: true")
    return in_file(tmp_path, "set: lr=0.002")  # KEY=VALUE


@case(f"{LINE}::read_yaml", "can't be read")
def a_file_of_options_that_is_missing(tmp_path: Path) -> Steps:
    command = in_file(tmp_path, "trials: 4")
    refusal = yield command.replace(tmp_path / "run.yaml", tmp_path / "rnu.yaml")
    assert "check the path" in refusal.text
    return command


@case(f"{LINE}::read_yaml", "can't be read")
def a_file_of_options_with_a_duplicate_key(tmp_path: Path) -> Steps:
    refusal = yield in_file(tmp_path, "trials: 4\ntrials: 5")
    key = refusal.find(r"the key '(\w+)' occurs twice .*mend the file")
    in_file(tmp_path, f"{key}: 4")


@case(f"{LINE}::read_yaml", "must hold lines such as")
def a_file_of_options_without_names(tmp_path: Path) -> Steps:
    refusal = yield in_file(tmp_path, "- 4")
    in_file(tmp_path, refusal.find("such as `(.*?)`"))


@case(f"{LINE}::read_yaml", "must name each option once")
def an_option_with_dashes_and_without(tmp_path: Path) -> Steps:
    refusal = yield in_file(tmp_path, "max-gap: 0.1\nmax_gap: 0.2")
    twice = refusal.find(r"but names (\S+) with dashes")
    in_file(tmp_path, f"{twice}: 0.1")


@case(f"{LINE}::resolve", "must be {}, but got")
def options_of_another_type(tmp_path: Path) -> Steps:
    command = plan_search(tmp_path, "--trials", "many", "--max-gap", "small")
    refusal = yield command
    assert "--trials must be a whole number, but got 'many'" in refusal.text
    assert "--max-gap must be a number, but got 'small'" in refusal.text
    return command.replace("many", 4).replace("small", 0.1)


@case(
    "search/session/api/request.py::_find_conflicts", "--accept-space goes with",
    "search/run.py::_main", "--quiet can't",
)  # fmt: skip
def switches_that_contradict(tmp_path: Path) -> Steps:
    command = plan_search(tmp_path, "--verbose")
    refusal = yield command.add("--accept-space", "--quiet")
    assert "leave it out for a new run" in refusal.text
    assert "leave one of them out" in refusal.text
    return command


@case("search/session/api/request.py::open_plan", "--resume can't go with --resume-or-start")
def a_run_that_is_named_twice(tmp_path: Path, searched: Path) -> Steps:
    resume = Command("search.run", "--resume", copy_run(searched, tmp_path), "--dry-run")
    refusal = yield resume.add("--resume-or-start", "first")
    assert "leave one of them out" in refusal.text
    return resume


@case(
    "search/session/api/request.py::_find_conflicts",
    "--name must be left out beside --resume-or-start",
)
def another_name_than_that_of_the_run(tmp_path: Path) -> Steps:
    command = plan_search(tmp_path, "--resume-or-start", "first", "--name", "second")
    refusal = yield command
    assert "must be left out" in refusal.text
    return command.without("--name")


@case("search/planning/continuation.py::more_trials", "without a sign")
def more_trials_of_a_new_run(tmp_path: Path, searched: Path) -> Steps:
    command = plan_search(tmp_path, "--trials", "+4")
    refusal = yield command
    run = copy_run(searched, tmp_path)
    plan_search(tmp_path, refusal.find(r"(\+N) goes").replace("+N", "--resume"), run,
                "--trials", "+4").without("--space")()  # fmt: skip
    return command.replace("+4", 4)


PATHS = f"{MACHINE}::find_path_errors"


@case(PATHS, "--source must name", PATHS, "--weights must be none", PATHS, "--name must be new")
def files_that_are_missing_or_taken(tmp_path: Path, searched: Path) -> Steps:
    copy_run(searched, tmp_path)
    command = plan_search(tmp_path, "--weights", "resnet.pt", "--name", "first")
    refusal = yield command.add("--dataset", "folder")
    assert "datasets.list" not in refusal.text  # as nothing is prepared
    refusal.command().add("--dry-run")()
    source = ("--source", write_images(tmp_path / "src", each=20))  # a folder
    weights = refusal.find(r"--weights must be (\w+),")
    return (
        command.add("--dataset", "folder", *source)
        .replace("resnet.pt", weights)
        .replace("first", "second")
    )


@case(PATHS, "check the path")
def a_misspelt_source(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src", each=20)
    command = plan_search(tmp_path, "--dataset", "folder", "--source", tmp_path / "scr")
    yield command
    return command.replace(tmp_path / "scr", source)
