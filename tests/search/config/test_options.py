import dataclasses
import re

import pytest

from search.config.command_line import fixed_fields, parse, parser, resolve
from search.config.options import ACTIONS, GROUPS, SearchOptions
from search.config.units import seconds_of


def test_every_option_is_a_flag_with_a_help_text_and_nothing_else_is():
    flags = {flag for action in parser()._actions for flag in action.option_strings}
    wanted = {"--" + f.name.replace("_", "-") for f in dataclasses.fields(SearchOptions)}
    actions = {"--" + name.replace("_", "-") for name in ACTIONS}
    assert flags - wanted == {"-h", "--help"} | actions
    assert all(action.help for action in parser()._actions)


def test_every_option_is_in_exactly_one_group():
    groups = {f.name: f.metadata["group"] for f in dataclasses.fields(SearchOptions)}
    groups |= {name: action.group for name, action in ACTIONS.items()}
    listed = [
        (action.dest, group.title)
        for group in parser()._action_groups
        if group.title in GROUPS
        for action in group._group_actions
    ]
    assert len(listed) == len(groups)
    assert dict(listed) == groups


def test_help_has_six_headings_in_order():
    text = parser().format_help()
    headings = re.findall(r"^(\S.*):$", text, flags=re.MULTILINE)
    assert headings == ["options", "Search", "Budget", "Early stopping", "Hardware", "Cluster",
                        "Monitoring"]  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "metavar"),
    [
        ("--space", "SPACE"),
        ("--config", "FILE"),
        ("--trials", "N"),
        ("--time-budget", "DURATION"),
        ("--gpu-hours", "HOURS"),
        ("--address", "HOST:PORT"),
        ("--storage", "URI"),
        ("--set", "KEY=VALUE"),
    ],
)
def test_metavars_say_what_is_wanted(flag, metavar):
    assert f"  {flag} {metavar}" in parser().format_help()


def test_only_switches_have_no_metavar():
    without = {f.name for f in dataclasses.fields(SearchOptions) if not f.metadata["metavar"]}
    assert without == {f.name for f in dataclasses.fields(SearchOptions) if f.type is bool}
    assert {name for name, action in ACTIONS.items() if action.metavar} == {"config", "resume"}


def test_later_layers_win():
    options, errors = resolve({"space": "demo", "trials": 5}, {"trials": "7"})
    assert not errors
    assert (options.space, options.trials, options.seed) == ("demo", 7, 0)


def test_all_errors_are_reported_at_once():
    given, unknown = parse(["--space", "demo", "--trials", "x", "--sead", "3", "--set", "lr"])
    _, errors = resolve(given | {"time_budget": "2 weeks", "max_gap": 3})
    text = "\n".join(unknown + errors)
    for part in (
        "--sead is not an option; did you mean --seed?",
        "--trials must be a whole number, but got 'x'.",
        "--set must be KEY=VALUE, but got 'lr'.",
        "--time-budget must be a number above 0 with s, m, h or d, e.g. 2h, but got '2 weeks'.",
        "--max-gap must lie in 0…1, but got 3.0.",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trials", 0),
        ("concurrency", "many"),
        ("concurrency", "0"),
        ("gpus_per_trial", "1.5"),
        ("gpus_per_trial", "-1"),
        ("time_budget", "0s"),
        ("dashboard_port", "70000"),
        ("gpu_hours", -0.5),
        ("gpu_hours", float("inf")),
        ("finalists", -1),
        ("repeats", 1),
        ("reduction_factor", 1),
        ("seed", -1),
        ("name", "../elsewhere"),
        ("precision", "float16"),
        ("grace", -1),
        ("gap_patience", 0),
        ("plateau_patience", -2),
        ("epochs", -3),
        ("stall_timeout", "10"),
        ("stall_timeout", "0m"),
    ],
)
def test_impossible_values_are_refused_with_rule_and_value(key, value):
    options, errors = resolve({"space": "demo", key: value})
    assert len(errors) == 1
    assert repr(value) in errors[0] or repr(float(value)) in errors[0]
    assert getattr(options, key) == getattr(SearchOptions(), key)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("45m", 2700), ("1.5h", 5400), ("2d", 172800), ("", None), ("0", None)],
)
def test_durations(text, seconds):
    assert seconds_of(text) == seconds


def test_set_gives_typed_values():
    options = SearchOptions(
        set=("lr=1e-3", "batch_size=32", "flip=true", "network=resnet18", "momentum=")
    )
    assert fixed_fields(options) == {
        "lr": 0.001,
        "batch_size": 32,
        "flip": True,
        "network": "resnet18",
        "momentum": "",
    }


def test_a_yaml_list_or_mapping_does_for_set():
    options, errors = resolve({"space": "demo", "set": {"batch_size": 16}})
    assert not errors
    assert options.set == ("batch_size=16",)


@pytest.mark.parametrize("value", ["runs/a", ["runs/a"], ("runs/a",)])
def test_a_text_or_a_list_does_for_warm_start(value):
    options, errors = resolve({"space": "demo", "warm_start": value})
    assert not errors
    assert options.warm_start == ("runs/a",)
    assert resolve({"space": "demo", "warm_start": None})[1]
