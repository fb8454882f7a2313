"""Spaces that choose the network: bounds, weights, memory, cost and what remains comparable."""

import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.config.command_line import resolve
from search.hardware.calibration import Measurement
from search.hardware.machine import Machine
from search.hardware.memory import worker_bytes
from search.monitoring.plans.cost_text import describe_cost, describe_speed
from search.monitoring.plans.plan_text import show_plan
from search.planning.cost_estimate import expected_epoch_s, training_speed
from search.planning.plan import Plan, make_plan, make_proposer
from search.planning.warm_start import useful_trials
from search.samplers.encoding import Encoding, merge_distributions
from search.samplers.random_configs import RandomConfiguration
from search.spaces import find_space
from search.study.optuna_patches import nearest_in
from search.study.proposer import Proposer
from search.study.searched_ranges import Probe
from tests.search.session_on_curves import outcome, planned, search
from tests.search.space_of_networks import PRETRAINED, TEXT, write_networks


def plan_of(path: Path, **values: Any) -> tuple[Plan | None, list[str]]:
    options, errors = resolve({"space": str(path), "out": str(path.parent)} | values)
    plan, more = make_plan(options, resuming=False)
    return plan, [*errors, *more]


def sound(path: Path, **values: Any) -> Plan:
    plan, errors = plan_of(path, **values)
    assert plan is not None, errors
    return plan


def test_each_network_has_bounds_of_its_own(tmp_path: Path) -> None:
    bounds = sound(write_networks(tmp_path)).bounds
    found = {each.network: (each.image_size, each.normalise) for each in bounds.networks}
    assert found == {"resnet10": (32, "dataset"), "mini_alexnet": (64, "half")}
    sizes = [worker_bytes(each) for each in bounds.networks]
    assert sizes == sorted(sizes, reverse=True)
    assert bounds.largest == bounds.networks[0]
    assert (bounds.image_size, bounds.batch_size) == (64, 16)


def test_the_memory_of_a_trial_is_that_of_the_largest_network(tmp_path: Path) -> None:
    """ResNet-101 need not be among the few trials that a plan previews."""
    text = TEXT.replace("list(STAGES)", '["resnet10", "resnet101", "mini_alexnet"]')
    text = text.replace('STAGES["resnet10"]', "2")
    options, _ = resolve({"space": str(write_networks(tmp_path, text)), "out": str(tmp_path)})
    machine = Machine(cpus=8, memory_bytes=8 << 30, gpus=())
    plan, errors = make_plan(options, resuming=False, machine=machine)
    assert plan is not None, errors
    needed = worker_bytes(plan.bounds.largest)
    assert plan.bounds.largest.network == "resnet101"
    assert plan.bounds.usual[1].network == "resnet101"
    assert needed > 2 * worker_bytes(plan.baseline)
    assert plan.resources.concurrent == int(0.8 * machine.memory_bytes / needed)
    assert f"memory allows at {needed / (1 << 30):.1f} GiB each" in plan.resources.why


def test_weights_and_freeze_depth_follow_the_network(tmp_path: Path) -> None:
    path = write_networks(tmp_path, PRETRAINED)
    configs = make_proposer(sound(path)).preview(60)[0]
    found = {(c.network, c.weights, c.normalise) for c in configs}
    assert found == {
        ("resnet18", "imagenet", "imagenet"),
        ("efficientnet_lite0", "imagenet", "half"),
        ("resnet10", "none", "dataset"),
    }
    depths = {n: {c.freeze_depth for c in configs if c.network == n} for n, *_ in found}
    assert depths["resnet10"] == {0}
    assert max(depths["resnet18"]) <= 4 < max(depths["efficientnet_lite0"])
    assert {c.weights for c in sound(path, weights="none").preview} == {"none"}
    assert {(c.network, c.freeze_depth) for c in sound(path, weights="none").bounds.starting} == {
        (name, 0) for name in depths
    }


LITERAL = """
from search.space import Space
from trainables.config import TrialConfig


def suggest(trial):
    values = {"head_width": trial.suggest_int("head_width", 0, 150), "weights": "none"}
    if values["head_width"] == 77:
        values["weights"] = "imagenet"
    return values


SPACE = Space(summary="s", dataset="demo", suggest=suggest,
              baseline=TrialConfig(network="resnet18", freeze_depth=0))
"""


def test_literal_weights_hold_as_any_field_does_unless_an_option_is_given(tmp_path: Path) -> None:
    """One of 151 configurations has other weights than the baseline."""
    path = write_networks(tmp_path, LITERAL)
    proposer = make_proposer(sound(path))
    assert [proposer.complete(proposer.space.suggest(Probe(0, {"head_width": width}))).weights
            for width in (0, 77)] == ["none", "imagenet"]  # fmt: skip
    fixed = make_proposer(sound(path, weights="none"))
    values = fixed.space.suggest(Probe(0, {"head_width": 77}))
    assert fixed.complete(values).weights == "none"
    rare = '    if values["head_width"] == 77:\n        values["weights"] = "imagenet"\n'
    only = write_networks(tmp_path, LITERAL.replace(rare, ""))
    assert {each.weights for each in sound(only).preview} == {"none"}


def test_weights_that_contradict_the_baseline_s_are_refused(tmp_path: Path) -> None:
    text = LITERAL.replace('"weights": "none"', '"weights": "imagenet", "flip": True')
    path = write_networks(tmp_path, text)
    assert plan_of(path)[1] == [
        "The baseline must be one of the space's configurations, but has "
        f"{field}, and `suggest` returns {value} beside the baseline's values; change one of them."
        for field, value in (("weights=none", "imagenet"), ("flip=False", "True"))
    ]
    path.write_text(text.replace("freeze_depth=0", 'weights="imagenet", flip=True'),
                    encoding="utf-8")  # fmt: skip
    assert {each.weights for each in sound(path).preview} == {"imagenet"}


def test_one_network_of_several_can_be_fixed_and_starts_nearest_to_the_baseline(
    tmp_path: Path,
) -> None:
    plan = sound(write_networks(tmp_path, PRETRAINED), set=["network=resnet18"])
    assert (plan.baseline.network, plan.baseline.freeze_depth) == ("resnet18", 4)
    assert plan.baseline.normalise == "imagenet"
    assert plan.bounds.usual == ()
    assert "network" not in plan.ranges


@pytest.mark.parametrize(
    ("distribution", "value", "nearest"),
    [
        (IntDistribution(0, 4), 7, 4),
        (IntDistribution(0, 4, step=2), 3, 4),
        (FloatDistribution(0.5, 0.9), 0.1, 0.5),
        (FloatDistribution(0.0, 0.5, step=0.25), 0.3, 0.25),
        (CategoricalDistribution(["a", "b"]), "c", "a"),
        (CategoricalDistribution(["a", "b"]), "b", "b"),
    ],
)
def test_the_nearest_value_of_a_range(distribution: Any, value: Any, nearest: Any) -> None:
    assert nearest_in(distribution, value) == nearest


def test_a_network_s_value_that_another_one_can_t_have_is_refused(tmp_path: Path) -> None:
    wrong = PRETRAINED.replace('"none", "normalise": "dataset"', '"imagenet", "normalise": "unit"')
    errors = plan_of(write_networks(tmp_path, wrong))[1]
    assert errors == [
        "With network=resnet10, freeze_depth must lie in 0…5 for resnet10 (stem, layer1, layer2, "
        "layer3, layer4), but got freeze_depth=7: have `suggest` return a value that fits this "
        "network, or leave the network out.",
        "With network=resnet10, weights must be none or a file for resnet10, which has no ImageNet "
        "weights, but got weights='imagenet': have `suggest` return a value that fits this "
        "network, or leave the network out.",
    ]
    deep = PRETRAINED.replace('"resnet18": 4', '"resnet18": 8')
    (error,) = plan_of(write_networks(tmp_path, deep))[1]
    assert error.startswith("With network=resnet18, freeze_depth must lie in 0…5 for resnet18")
    file = PRETRAINED.replace('{"weights": "none"', '{"weights": "a.pt"')
    errors = plan_of(write_networks(tmp_path, file))[1]
    assert "leave it out, and give a file for all trials with --weights." in errors[0]


def test_estimates_name_the_network_that_they_are_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = sound(write_networks(tmp_path))
    measured = Measurement(precision="float32", images_per_s={"float32": 100.0})
    speed = training_speed(plan, 1000, measured)
    first, second = (speed.estimate(each) for each in plan.bounds.usual)
    assert first is not None
    assert second is not None
    mean = expected_epoch_s(plan, speed)
    assert mean is not None
    assert mean[0] == pytest.approx((first.epoch_s + second.epoch_s) / 2)
    cost = describe_cost(plan, 1000, speed)
    assert re.search(r"; an epoch of resnet10 11 s, mini_alexnet \d+ s$", cost)
    assert describe_speed(measured, plan).endswith(" with resnet10; trains in float32")
    assert "with" not in describe_speed(measured, sound(tmp_path / "networks.py", set=[
        "network=resnet10"])).partition(";")[0]  # fmt: skip
    monkeypatch.setenv("COLUMNS", "160")
    show_plan(sound(tmp_path / "networks.py", seed=2), 1000, measured, speed, ())
    rows = [line.split("│")[1].strip() for line in capsys.readouterr().out.splitlines()
            if line.startswith("│")]  # fmt: skip
    assert "label_smoothing" in rows
    assert "normalise" in rows  # follows from the network, and isn't searched


def test_an_unknown_cost_is_that_of_a_library_s_network(tmp_path: Path) -> None:
    text = TEXT.replace("list(STAGES)", '["resnet10", "timm:convnext_atto"]')
    plan = sound(write_networks(tmp_path, text))
    cost = describe_cost(plan, 1000, training_speed(plan, 1000, None))
    assert "the cost of timm:convnext_atto is unknown" in cost


def test_the_baseline_s_value_is_kept_only_where_its_network_s_range_holds_it(
    tmp_path: Path,
) -> None:
    space = find_space(str(write_networks(tmp_path, PRETRAINED)))
    source = Proposer(space, {}, 0)._source
    draws = [source.draw(Random(seed)).params for seed in range(300)]
    assert max(d["freeze_depth"] for d in draws if d["network"] == "resnet18") == 4
    assert max(d["freeze_depth"] for d in draws if d["network"] == "efficientnet_lite0") == 8


def test_a_parameter_with_several_ranges_has_one_scale_for_the_gaussian_process() -> None:
    shallow, deep = (RandomConfiguration(Random(0)) for _ in range(2))
    shallow.suggest_int("depth", 0, 4)
    shallow.suggest_float("lr", 1e-4, 1e-2, log=True)
    deep.suggest_int("depth", 0, 8)
    deep.suggest_float("lr", 1e-3, 1.0, log=True)
    for met in ([shallow, deep], [deep, shallow]):
        merged = merge_distributions([each.distributions for each in met])
        assert merged == {
            "depth": IntDistribution(0, 8), "lr": FloatDistribution(1e-4, 1.0, log=True)
        }  # fmt: skip
    point = Encoding(merged).encode({"depth": 4, "lr": 1e-2})
    assert point.tolist() == pytest.approx([0.5, 0.5])


def test_a_search_over_networks_is_resumed_to_the_same_end(tmp_path: Path, tiny_data: Path) -> None:
    """The sampler's choices among conditional parameters depend on the records alone."""
    space = {"space": str(write_networks(tmp_path / "own"))}
    whole = planned(tmp_path / "a", tiny_data, space, name="run", trials=24)
    whole_study = search(whole)
    search(planned(tmp_path / "b", tiny_data, space, name="run", trials=24), 60)
    again = planned(tmp_path / "b", tiny_data, {}, name="run", trials=24)
    search(again)
    assert outcome(tmp_path / "a" / "run") == outcome(tmp_path / "b" / "run")
    configs = [record.config for record in whole_study.records.values()]
    assert {c["network"] for c in configs} == {"resnet10", "mini_alexnet"}
    for record in whole_study.records.values():
        own = {"resnet10": "label_smoothing", "mini_alexnet": "dropout"}[record.config["network"]]
        other = ({"label_smoothing", "dropout"} - {own}).pop()
        assert own in record.params
        assert other not in record.params


def test_a_warm_start_takes_over_trials_of_every_network(tmp_path: Path, tiny_data: Path) -> None:
    space = {"space": str(write_networks(tmp_path / "own"))}
    search(planned(tmp_path, tiny_data, space, name="first", trials=12))
    warm = {**space, "warm_start": [str(tmp_path / "first")]}
    plan = planned(tmp_path, tiny_data, warm, name="second", trials=6)
    (earlier,) = plan.earlier
    assert len(earlier.trials) == 12
    found = useful_trials(earlier, make_proposer(plan), earlier.fingerprint, plan.epochs)
    assert len(found) == 12
    assert {each.params["network"] for each in found} == {"resnet10", "mini_alexnet"}
