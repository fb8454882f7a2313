"""Errors about a trial's configuration: each rule of each field, and what a data set allows.

The sentences name the rule and the value; `obey` reads from a rule what the field must be instead.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from datasets.access import open_final_data, open_search_data
from tests.remedies.harness import Refusal, Steps, case
from tests.remedies.places import Place, places_of
from tests.trainables.conftest import SMALL
from trainables.config import TrialConfig
from trainables.models.setup import new_network
from trainables.train import check
from trainables.training.batches import BatchFeeder
from trainables.training.frozen_views import FrozenViews

CONFIG = "trainables/config.py"
RAISED = (f"{CONFIG}::__post_init__", "ConfigError(errors)")


def obey(refusal: Refusal) -> dict[str, Any]:
    """Returns the field that a sentence «FIELD RULE, but got …» is about, with a value that follows
    the rule, or the other field that the rule asks for.
    """
    name, rule = re.findall(r"^(\w+) (.*?), but got", refusal.text)[0]
    if owner := re.fullmatch(r"goes with (\w+)=(\w+) only", rule):
        return {owner[1]: owner[2]}
    for pattern, step in ((r"one of ([\w-]+)", 0), (r"lie in (\d+)…", 0), (r"lie in \[(\d+)", 0),
                          (r"lie in \(\d+, ([\d.]+)\]", 0), (r"≥ (\d+)", 0), (r"> (\d+)", 1),
                          (r"≤ (\d+)", 0), (r"(\w+)", 0)):  # fmt: skip
        if found := re.match(f"must (?:be )?{pattern}", rule):
            return {name: read(found[1], step)}
    raise AssertionError(f"no value follows from: {refusal.text}")


def read(text: str, step: int = 0) -> Any:
    """Returns the value in a rule's text."""
    if re.fullmatch(r"[\d.]+", text):
        return (float(text) if "." in text else int(text)) + step
    return {"true": True, "false": False}.get(text, text)


def steps_of(values: Mapping[str, Any]) -> Any:
    """Returns a case that gives a configuration these values, and changes what is refused."""

    def steps() -> Steps:
        given = {"network": "resnet10"} | dict(values)
        refusal = yield lambda: TrialConfig.from_dict(given)
        assert len(refusal.text.splitlines()) == 1
        return lambda: TrialConfig.from_dict(given | obey(refusal))

    return steps


def register(function: str, values: Mapping[str, dict[str, Any]]) -> None:
    """Registers a case for each place of a function, in the order of its lines.

    values: for each case, its name and the values that break the rule.
    """
    file = Path(function.partition("::")[0])
    places: list[Place] = [place for place in places_of(file) if place.where == function]
    for place, (name, broken) in zip(places, values.items(), strict=True):
        steps = steps_of(broken)
        steps.__name__ = f"a_config_with_{name}"
        case(place.where, place.words, *RAISED)(steps)


TIMM = {"network": "timm:resnet18"}
register(
    f"{CONFIG}::_value_errors",
    {
        "an_unknown_network": {"network": "resnet11"},
        "small_images": {"image_size": 31},
        "an_unknown_normalisation": {"normalise": "zca"},
        "an_unknown_stem": {"stem": "large"},
        "a_small_stem_beside_weights": {"stem": "small", "weights": "w.pth"},
        "empty_weights": {"weights": ""},
        "many_views": {"views": 1001},
        "a_wide_head": {"head_width": 9000},
        "a_dropout_of_one": {"dropout": 1},
        "a_smoothing_of_one": {"label_smoothing": 1},
        "a_cutout_of_one": {"cutout": 1},
        "a_large_crop": {"crop": 0.6},
        "an_unknown_optimizer": {"optimizer": "lion"},
        "an_lr_of_zero": {"lr": 0},
        "a_negative_decay": {"weight_decay": -1},
        "an_unknown_schedule": {"schedule": "linear"},
        "a_long_warmup": {"warmup_epochs": 31},
        "a_warmup_of_one_cycle": {"warmup_epochs": 1, "schedule": "one-cycle"},
        "batches_of_one": {"batch_size": 1},
        "pieces_of_one": {"micro_batch_size": 1},
        "no_epochs": {"epochs": 0},
        "a_negative_seed": {"seed": -1},
        "a_small_stem_of_a_library": TIMM | {"stem": "small"},
        "a_negative_depth": {"freeze_depth": -1},
        "a_compiled_library": TIMM | {"compile": True},
        "an_unknown_precision": {"precision": "float64"},
        "a_negative_weighting": {"class_weighting": -1},
        "an_average_of_one": {"ema": 1},
        "a_negative_mixup": {"mixup_alpha": -1},
        "a_negative_cutmix": {"cutmix_alpha": -1},
        "an_unknown_policy": {"policy": "auto"},
    },
)
register(
    "trainables/catalog.py::network_rules",
    {
        "a_depth_beyond_the_stages": {"freeze_depth": 9},
        "a_small_stem_where_there_is_none": {"network": "mini_alexnet", "stem": "small"},
        "weights_that_do_not_exist": {"network": "mini_alexnet", "weights": "imagenet"},
    },
)
register(
    "trainables/conditional_fields.py::conditional_rules",
    {
        "a_momentum_of_adamw": {"momentum": 0.9},
        "a_momentum_of_one": {"momentum": 1, "optimizer": "sgd"},
        "a_large_magnitude": {"policy_magnitude": 31, "policy": "rand"},
        "no_cycles": {"cycles": 0, "schedule": "cyclical"},
        "no_epochs_of_a_step": {"step_epochs": 0, "schedule": "step"},
        "a_step_factor_of_two": {"step_factor": 2, "schedule": "step"},
    },
)


@case(f"{CONFIG}::_type_errors", "{} must be {}, but got", *RAISED)
def a_config_with_a_text_for_a_number() -> Steps:
    refusal = yield lambda: TrialConfig(network="resnet10", epochs="ten")  # type: ignore[arg-type]
    value = {"a whole number": 10}[refusal.find(r"must be ([\w ]+), but got")]
    return lambda: TrialConfig(network="resnet10", epochs=value)


DICTIONARY = (f"{CONFIG}::from_dict", "ConfigError(errors)")


@case(f"{CONFIG}::from_dict", "is not a field", *DICTIONARY)
def a_config_with_a_misspelt_field() -> Steps:
    refusal = yield lambda: TrialConfig.from_dict({"network": "resnet10", "droput": 0.1})
    meant = refusal.find(r"did you mean (\w+)\?")
    return lambda: TrialConfig.from_dict({"network": "resnet10", meant: 0.1})


@case(f"{CONFIG}::from_dict", "but it is missing", *DICTIONARY)
def a_config_without_a_network() -> Steps:
    refusal = yield lambda: TrialConfig.from_dict({"lr": 0.1})
    network = refusal.find(r"must be one of (\w+),")
    return lambda: TrialConfig.from_dict({"lr": 0.1, "network": network})


CHECKED = ("trainables/train.py::check", "ConfigError(errors)")


@case("trainables/train.py::check", "precision must be", *CHECKED)
def a_precision_that_is_not_resolved(tiny_data: Path) -> Steps:
    data = open_final_data(tiny_data)
    refusal = yield lambda: check(SMALL.but(precision="auto"), data)
    name = refusal.find(r"must be (\w+),")
    return lambda: check(SMALL.but(precision=name), data)


@case("trainables/train.py::check", "the number of training images", *CHECKED)
def batches_larger_than_the_data(tiny_data: Path) -> Steps:
    data = open_final_data(tiny_data)
    refusal = yield lambda: check(SMALL.but(batch_size=100), data)
    assert refusal.text.endswith("lower it, or use more images.")
    return lambda: check(SMALL.but(**obey(refusal)), data)


VIEWS = "trainables/training/frozen_views.py::of"


@case(VIEWS, "views must be ≤")
def outputs_of_frozen_stages_that_the_disk_has_no_room_for(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    data = open_search_data(shutil.copytree(tiny_data, tmp_path / "data"))
    config = SMALL.but(freeze_depth=3, precision="float32")
    device = torch.device("cpu")
    network = new_network(config, len(data.images.class_ids), device)

    def keep(views: int) -> object:
        feeder = BatchFeeder(device=device)
        return FrozenViews.of(network, data.images, config.but(views=views), feeder, data.train)

    usage = shutil.disk_usage(tmp_path)._replace(free=4_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    refusal = yield lambda: keep(1000)
    return lambda: keep(int(refusal.find(r"must be ≤ (\d+)")))
