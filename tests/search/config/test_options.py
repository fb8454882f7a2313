import dataclasses
import re

import pytest

from common.durations import seconds_of
from search.config.command_line import fixed_fields, parse, parser, read_yaml, resolve
from search.config.options import ACTIONS, GROUPS, OptionsError, SearchOptions


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
    named = {name for name, action in ACTIONS.items() if action.metavar}
    assert named == {"config", "resume", "resume_or_start", "on_end", "on_best"}


def test_later_layers_win():
    options, errors = resolve({"space": "demo", "trials": 5}, {"trials": "7"})
    assert not errors
    assert (options.space, options.trials, options.seed) == ("demo", 7, 0)


def test_set_is_merged_field_by_field():
    layers = (
        {"space": "demo", "set": {"image_size": "32", "lr": "5e-2"}},
        {"set": ["lr=0.001", "flip=true"]},
        {"set": "flip=false"},
    )
    options, errors = resolve(*layers)
    assert not errors
    assert options.set == ("image_size=32", "lr=0.001", "flip=false")
    assert fixed_fields(options) == {"image_size": 32, "lr": 0.001, "flip": False}


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (
            {"set": ["lr=1", "flip=true", "lr=1"]},
            "--set must fix a field once, but fixes lr 2 times.",
        ),
        ({"set": True}, "--set must be KEY=VALUE, but got True."),
        ({"set": None}, "--set must be KEY=VALUE, but got None."),
    ],
)
def test_a_faulty_set_is_refused_in_any_layer(layer, sentence):
    assert resolve({"space": "demo"} | layer)[1] == [sentence]
    assert resolve(layer, {"space": "demo", "set": ["dropout=0"]})[1] == [sentence]


def test_of_an_option_that_is_given_twice_the_last_counts_and_set_adds_up():
    words = ["--trials", "3", "--set", "a=1", "--dry-run", "--trials=4", "--dry-run"]
    given, errors = parse([*words, "--set", "b=2"])
    assert errors == []
    assert (given["trials"], given["set"]) == ("4", ["a=1", "b=2"])


@pytest.mark.parametrize("text", ["trials: 1\ntrials: 2", "time-budget: 1h\ntime_budget: 2h"])
def test_a_file_that_names_an_option_twice_is_refused(text, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(
        OptionsError, match=r"run\.yaml (must name each|can't be read \(the key 'tri)"
    ):
        read_yaml(path)


def test_a_file_gives_the_options_that_the_same_texts_on_the_command_line_give(tmp_path):
    texts = {
        "name": "007", "time_budget": "1h30m", "trials": "0100", "epochs": "1_0", "max_gap": "5e-2",
        "grace": "007", "gpus_per_trial": "0.50", "stall_timeout": "0", "wandb": "1.10",
    }  # fmt: skip
    path = tmp_path / "run.yaml"
    path.write_text("".join(f"{key}: {text}\n" for key, text in texts.items()), encoding="utf-8")
    words = [f"--{key.replace('_', '-')}={text}" for key, text in texts.items()]
    read, errors = resolve({"space": "demo"}, read_yaml(path))
    assert (read, errors) == resolve({"space": "demo"}, parse(words)[0])
    assert (read.name, read.trials, read.max_gap, read.wandb) == ("007", 100, 0.05, "1.10")
    path.write_text("time_budget: 1:04", encoding="utf-8")
    assert resolve({"space": "demo"}, read_yaml(path))[1] == [
        "--time-budget must be a number above 0 with s, m, h or d, e.g. 1h30m, but got '1:04'."
    ]


@pytest.mark.parametrize("name", ["my run", "été (copy)", "_a", "it's", "2026"])
def test_a_run_may_have_any_name_that_a_folder_has(name):
    options, errors = resolve({"space": "demo", "name": name})
    assert (options.name, errors) == (name, [])


def test_all_errors_are_reported_at_once():
    given, unknown = parse(["--space", "demo", "--trials", "x", "--sead", "3", "--set", "lr"])
    _, errors = resolve(given | {"time_budget": "2 weeks", "max_gap": 3})
    text = "\n".join(unknown + errors)
    for part in (
        "--sead is not an option; did you mean --seed?",
        "--trials must be a whole number, but got 'x'.",
        "--set must be KEY=VALUE, but got 'lr'.",
        "--time-budget must be a number above 0 with s, m, h or d, e.g. 1h30m, but got '2 weeks'.",
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
        ("gpus_per_trial", "2"),
        ("gpus_per_trial", "0.00001"),
        ("gpus_per_trial", "-1"),
        ("time_budget", "0s"),
        ("dashboard_port", "70000"),
        ("page_port", "70000"),
        ("page_port", "any"),
        ("gpu_hours", -0.5),
        ("gpu_hours", float("inf")),
        ("finalists", -1),
        ("repeats", 1),
        ("reduction_factor", 1),
        ("seed", -1),
        ("name", "../elsewhere"),
        ("name", "a/b"),
        ("name", ".hidden"),
        ("name", "-dash"),
        ("name", " blank"),
        ("name", "two\nlines"),
        ("precision", "fp16"),
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
    [
        ("90s", 90),
        ("45m", 2700),
        ("1.5h", 5400),
        ("2d", 172800),
        ("1h30m", 5400),
        ("1d2h3m4s", 93784),
        ("", None),
        ("0", None),
        ("1:04", None),
        ("30m1h", None),
        ("1h1h", None),
        ("1h30", None),
        ("h", None),
    ],
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


@pytest.mark.parametrize(
    ("item", "value"),
    [
        ("lr=5e-2", 0.05),
        ("lr=1", 1.0),
        ("lr=1:04", "1:04"),
        ("batch_size=0100", 100),
        ("batch_size=007", 7),
        ("batch_size=1:04", "1:04"),
        ("batch_size=0x20", 32),
        ("batch_size=true", True),
        ("step_epochs=08", 8),
        ("weights=007", "007"),
        ("weights=1.10", "1.10"),
        ("weights=no", "no"),
        ("flip=no", False),
    ],
)
def test_set_reads_numbers_as_they_are_meant(item, value):
    (read,) = fixed_fields(SearchOptions(set=(item,))).values()
    assert (read, type(read)) == (value, type(value))


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
