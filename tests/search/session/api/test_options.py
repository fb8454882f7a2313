"""Options as Python values: each of the command line's, their faults together, and words."""

import inspect
from dataclasses import fields
from pathlib import Path

import pytest

from search import Search
from search.config.command_line import fixed_fields, resolve
from search.config.options import ACTIONS, OptionsError, SearchOptions
from search.session.api.options import option_values, say_in_python


def test_every_option_of_the_command_line_is_one_of_python():
    known = inspect.signature(Search).parameters
    assert {f.name for f in fields(SearchOptions)} <= known.keys()
    for f in fields(SearchOptions):
        if f.name != "space":
            assert known[f.name].default == f.default
            assert f"    {f.name}: {f.metadata['help']}\n" in f"{Search.__doc__}\n"


def test_every_action_of_the_command_line_has_its_place_in_python():
    begin, resume = inspect.signature(Search), inspect.signature(Search.resume)
    places = {
        "list": None,  # search.spaces.space_names()
        "dry_run": Search.dry_run,
        "measure": inspect.signature(Search.run).parameters["measure"],
        "config": begin.parameters["config"],
        "resume": Search.resume,
        "resume_or_start": Search.resume_or_start,
        "accept_space": resume.parameters["accept_space"],
        "on_end": begin.parameters["on_progress"],  # Python itself runs what follows
        "on_best": begin.parameters["on_progress"],
        "verbose": begin.parameters["show"],
        "quiet": begin.parameters["show"],
    }
    assert places.keys() == ACTIONS.keys()


@pytest.mark.parametrize("f", fields(SearchOptions)[1:], ids=lambda f: f.name)
def test_each_option_takes_its_own_default(f):
    options, errors = resolve(option_values({"space": "demo", f.name: f.default or None}))
    assert getattr(options, f.name) == f.default
    assert errors == []


def test_python_s_own_kinds_of_values_are_taken():
    given = {
        "space": Path("mine.py"), "concurrency": 2, "gpus_per_trial": 0.5, "epochs": None,
        "objectives": ["val_top1", "latency_ms"], "warm_start": [Path("runs/a"), "runs/b"],
        "set": {"batch_size": 32, "flip": True, "lr": 1e-3, "schedule": "cosine"},
    }  # fmt: skip
    options, errors = resolve(option_values(given | {"warm_start": None}))
    assert errors == []
    assert (options.space, options.concurrency, options.gpus_per_trial) == ("mine.py", "2", "0.5")
    assert options.epochs == SearchOptions().epochs
    assert options.objectives == "val_top1,latency_ms"
    assert fixed_fields(options) == {
        "batch_size": 32, "flip": True, "lr": 1e-3, "schedule": "cosine"
    }  # fmt: skip
    assert option_values(given)["warm_start"] == ["runs/a", "runs/b"]


def test_one_error_names_all_faults_in_python_s_words():
    with pytest.raises(OptionsError) as caught:
        Search(space="demo", trils=4, epochs=-1, time_budget="soon", tensorboard=1, show="tabel")
    assert len(caught.value.errors) == 5
    text = str(caught.value)
    assert "trils is not an option; did you mean trials" in text
    assert "time_budget must be a number above 0" in text
    assert "tensorboard must be true or false, but got 1." in text
    assert "show must be 'table', 'lines' or None, but got 'tabel'." in text
    assert "--" not in text


def test_a_new_run_can_t_add_trials_and_a_resumed_one_can():
    with pytest.raises(OptionsError, match=r"trials must be a number without a sign"):
        Search("demo", trials="+4")
    Search.resume("runs/a", trials="+4")
    with pytest.raises(OptionsError, match="epochs must lie in"):
        Search.resume("runs/a", epochs=-1)


def test_commands_in_a_sentence_stay_commands():
    error = say_in_python(
        OptionsError(["--gpu-hours is wrong; type `x --gpu-hours 1` or --other."])
    )
    assert error.errors == ["gpu_hours is wrong; type `x --gpu-hours 1` or --other."]
