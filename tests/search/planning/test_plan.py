from dataclasses import replace

import optuna
import pytest

from common.text import format_duration
from results.page.table import provenance as shown
from search.config.command_line import resolve
from search.hardware.calibration import Measurement
from search.hardware.machine import Cluster, Machine, Node
from search.hardware.training_speed import Source
from search.monitoring.plans.cost_text import describe_cost
from search.monitoring.plans.plan_text import describe_nodes, describe_resources, show_plan
from search.planning.cost_estimate import (
    expected_epoch_s,
    expected_epochs,
    finalist_trainings,
    training_speed,
)
from search.planning.plan import make_plan, make_proposer
from search.session.provenance import provenance
from tests.remedies.searches import write_space
from tests.search.hardware.faked_gpus import gpus as faked_gpus
from trainables.catalog import frozen_share

pytestmark = pytest.mark.usefixtures("plan_quickly")


def machine(gpus=(), memory_gib=64):
    return Machine(cpus=8, memory_bytes=memory_gib << 30, gpus=faked_gpus(*gpus))


def plan_of(tmp_path, here=None, **values):
    options, errors = resolve({"space": "demo", "out": str(tmp_path), **values})
    assert not errors
    plan, errors = make_plan(options, resuming=False, machine=here)
    assert not errors
    return plan


def errors_of(tmp_path, here=None, **values):
    options, errors = resolve({"space": "demo", "out": str(tmp_path), **values})
    plan, more = make_plan(options, resuming=False, machine=here)
    assert plan is None or not more
    return errors + more


def test_rungs_and_horizon_follow_the_epochs(tmp_path):
    plan = plan_of(tmp_path, epochs=30)
    assert (plan.grace, plan.rungs) == (3, (3, 9, 27))
    assert {c.epochs for c in plan.preview} == {30}
    assert plan_of(tmp_path, epochs=30, grace=2, reduction_factor=4).rungs == (2, 8)


def test_without_pretrained_weights_every_stage_trains(tmp_path):
    plan = plan_of(tmp_path, space="resnet50", weights="none", source=str(tmp_path))
    assert "freeze_depth" not in plan.ranges
    assert {(c.freeze_depth, c.weights) for c in plan.preview} == {(0, "none")}
    asked = plan_of(
        tmp_path, space="resnet50", source=str(tmp_path), set=["weights=none", "freeze_depth=1"]
    )
    assert {c.freeze_depth for c in asked.preview} == {1}
    assert "freeze_depth" in plan_of(tmp_path, space="resnet50", source=str(tmp_path)).ranges


def test_the_remedy_for_a_small_stem_beside_pretrained_weights_works(tmp_path):
    values = {"space": "resnet18_scratch", "weights": "imagenet"}
    (sentence,) = errors_of(tmp_path, **values)
    assert "--set stem=imagenet" in sentence
    plan = plan_of(tmp_path, **values, set=["stem=imagenet"])
    assert {(c.stem, c.weights) for c in plan.preview} == {("imagenet", "imagenet")}


def test_expected_epochs_by_hand(tmp_path):
    plan = plan_of(tmp_path, trials=10, epochs=9, grace=1)
    # nine of the baseline and of the prior's trial, then eight trials of 1 + 2/3 + 6/9 epochs
    assert expected_epochs(plan) == pytest.approx(2 * 9 + 8 * (1 + 2 / 3 + 6 / 9))


LAST = 0.0201 / 0.3838  # of EfficientNet-Lite0's multiply-adds, the last stage's share
KEPT_OUTPUTS = [
    # one set of augmentations: two forward passes in 240 epochs, and the head alone after them
    (["views=2", "freeze_depth=9", "flip=true", "crop=0"], 2 / 240),
    # the last stage trains
    (
        ["views=2", "freeze_depth=8", "flip=true", "crop=0"],
        (3 * LAST + (1 - LAST) * 2 / 240) / (1 + 2 * LAST),
    ),
    (["views=0", "freeze_depth=9", "flip=true", "crop=0"], 1.0),
    (["views=2", "freeze_depth=0", "flip=true", "crop=0"], 1.0),
]


@pytest.mark.parametrize(("fixed", "share"), KEPT_OUTPUTS)
def test_an_epoch_costs_less_where_outputs_of_frozen_stages_are_kept(tmp_path, fixed, share):
    fixed = [*fixed, "image_size=128", "policy=none"]
    values = {"space": "efficientnet_lite0", "trials": 24, "epochs": 10, "grace": 10, "set": fixed}
    plan = plan_of(tmp_path, **values)
    speed = training_speed(plan, 1000, None)
    whole_s = speed.estimate(plan.baseline).epoch_s
    assert expected_epochs(plan) == 240
    found_s, _ = expected_epoch_s(plan, speed)
    assert found_s == pytest.approx(whole_s * share)


def test_each_augmentation_has_kept_outputs_of_its_own(tmp_path):
    """Twenty drawn configurations have about ten augmentations, so that many trials compute."""
    values = {"space": "efficientnet_lite0", "trials": 24, "epochs": 2, "grace": 2}
    plan = plan_of(tmp_path, **values, set=["views=2", "freeze_depth=9", "image_size=128"])
    kept, _ = expected_epoch_s(plan, training_speed(plan, 1000, None))
    plan = plan_of(tmp_path, **values, set=["freeze_depth=9", "image_size=128"])
    whole, _ = expected_epoch_s(plan, training_speed(plan, 1000, None))
    assert 0.25 * whole < kept < whole


def test_finalists_are_in_the_estimate(tmp_path):
    """Three and the baseline, three full trainings each; no more finalists than other trials."""
    without = expected_epochs(plan_of(tmp_path, trials=10, epochs=9))
    assert expected_epochs(plan_of(tmp_path, trials=10, epochs=9, finalists=3)) == pytest.approx(
        without + 4 * 3 * 9
    )
    few = plan_of(tmp_path, trials=3, finalists=5, repeats=2)
    assert finalist_trainings(few) == 3 * 2
    assert finalist_trainings(plan_of(tmp_path, trials=3)) == 0


def test_a_cluster_is_planned_for_as_a_whole(tmp_path):
    nodes = tuple(
        Node(
            id=name,
            address="",
            machine=Machine(cpus=cpus, memory_bytes=1 << 37, gpus=faked_gpus(*gpus)),
        )
        for name, cpus, gpus in (("a", 4, ()), ("b", 16, ()), ("c", 8, ("L4",)))
    )
    options, _ = resolve({"space": "demo", "out": str(tmp_path), "trials": 200})
    plan, errors = make_plan(
        options, resuming=False, cluster=Cluster(nodes=nodes, driver_node="a", dashboard="")
    )
    assert not errors
    assert (plan.machine.cpus, [gpu.name for gpu in plan.machine.gpus]) == (28, ["L4"])
    kinds = [(kind.concurrent, kind.threads, kind.gpus) for kind in plan.resources.kinds]
    assert kinds == [(1, 8, 1.0), (20, 1, 0.0)]
    assert plan.resources.at_once == 21
    assert describe_nodes(plan) == "1 × 4 cores, 1 × 16 cores, 1 × 8 cores and 1 L4"
    assert describe_resources(plan) == (
        "1 trial of 8 CPU thread(s) and 1 GPU each (up to 1 on 1 GPU in 1 node), and 20 trials "
        "of 1 CPU thread(s) each (as many as cores and memory allow in 2 nodes)"
    )


@pytest.mark.parametrize(
    ("gpus", "values"),
    [((), {"gpu_hours": 8}), (("A100",), {"gpu_hours": 8, "gpus_per_trial": "0"})],
)
def test_gpu_hours_are_refused_where_no_gpu_is_used(tmp_path, gpus, values):
    (sentence,) = errors_of(tmp_path, machine(gpus), **values)
    assert sentence == (
        "--gpu-hours must be 0 where trials take no GPU, but got 8; use --time-budget."
    )


def test_the_estimate_grows_with_the_images_and_falls_with_the_measured_rate(tmp_path):
    plan = plan_of(tmp_path, machine(), trials=4, set=["image_size=64"])

    def epoch_s(images, rate=None):
        found = Measurement(precision="bfloat16", images_per_s={"float32": 1.0, "bfloat16": rate})
        return expected_epoch_s(plan, training_speed(plan, images, found if rate else None))

    assert epoch_s(2000)[0] == pytest.approx(2 * epoch_s(1000)[0])
    assert epoch_s(1000)[1] is Source.RULE
    # 2 / 27 of the training images are evaluated besides, at a third of the cost
    assert epoch_s(2700, rate=58.0) == (pytest.approx(50.0), Source.MEASURED)


def test_the_cost_counts_each_drawn_configuration_by_its_size(tmp_path):
    plan = plan_of(tmp_path, machine(), space="resnet18", trials=10)
    baseline = plan.baseline
    assert len({config.image_size for config in plan.drawn}) > 1
    measured = Measurement(precision="float32", images_per_s={"float32": 29.0})
    speed = training_speed(plan, 2700, measured)
    steps = [
        config.image_size**2 * (3 - 2 * frozen_share("resnet18", config.stem, config.freeze_depth))
        for config in (baseline, *plan.drawn)
    ]
    by_size = [step / steps[0] for step in steps[1:]]
    expected = 100.0 * sum(by_size) / len(by_size)
    assert expected_epoch_s(plan, speed)[0] == pytest.approx(expected, rel=0.01)


def test_the_cost_says_what_it_goes_by(tmp_path):
    plan = plan_of(tmp_path, machine(), trials=8, epochs=9, grace=1, set=["image_size=64"])
    measured = Measurement(precision="float32", images_per_s={"float32": 29.0})
    epochs = expected_epochs(plan)  # 8 at once, of 100 s each
    assert describe_cost(plan, 2700, training_speed(plan, 2700, measured)) == (
        f"about {epochs:.0f} epochs of 2,700 images, {format_duration(epochs * 100 / 8)} "
        "(measured on this machine)"
    )
    assert describe_cost(plan, 2700, training_speed(plan, 2700, None)).endswith(
        "(a rule of thumb, not measured: --dry-run --measure measures it)"
    )
    assert "once the dataset is prepared" in describe_cost(plan, None, None)
    on_gpu = plan_of(tmp_path, machine(["L4"]), trials=8)
    assert describe_cost(on_gpu, 2700, training_speed(on_gpu, 2700, None)).endswith(
        "(a rule of thumb, not measured: --dry-run --measure measures it)"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": "tiny-imagenett"}, "did you mean tiny-imagenet"),
        ({"dataset": "folder:no-such-one"}, "--source must name the images"),
        ({"source": "/nowhere/at/all.zip"}, "--source must exist"),
        ({"weights": "/nowhere/weights.pt"}, "is no file"),
        ({"gpus_per_trial": "1"}, "without a GPU"),
        ({"set": ["lr=-1"]}, "lr must be > 0"),
        ({"set": ["droput=0.1"]}, "did you mean dropout"),
        ({"set": ["epochs=9"]}, "use --epochs"),
        ({"set": ["precision=float32"]}, "use --precision"),
        ({"set": ["lr={"]}, "lr must be a finite number"),
        ({"set": ["weights=imagenet"]}, "has no ImageNet weights"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(tmp_path, values, message):
    found = errors_of(tmp_path, machine(), **values)
    assert len(found) == 1
    assert message in found[0]


def test_a_name_that_is_taken_is_refused(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "manifest.json").write_text("{}", encoding="utf-8")
    again = f"go on with it by `python -m search.run --resume old --out {tmp_path}`"
    assert again in errors_of(tmp_path, name="old")[0]


def test_on_a_small_machine_larger_images_leave_room_for_fewer_trials(tmp_path):
    here = machine(memory_gib=16)
    sizes = ("image_size=64", "image_size=224")
    plans = [
        plan_of(tmp_path, here, space="resnet18", set=[size, "batch_size=64"]) for size in sizes
    ]
    # 0.8 × 16 GiB at 1.6 and at 3.7 GiB each
    assert [plan.resources.concurrent for plan in plans] == [8, 3]


def test_the_largest_trial_has_the_space_s_largest_input(tmp_path):
    plan = plan_of(tmp_path, space="resnet50", source=str(tmp_path))
    most = {"image_size": 128, "head_width": 2048, "freeze_depth": 0, "ema": 0.999}
    assert plan.bounds.largest == plan.baseline.but(**most)


def test_the_largest_trial_averages_its_weights_where_any_does(tmp_path):
    path = write_space(tmp_path / "mine.py", ema='float("ema", 0.0, 0.99)')
    assert plan_of(tmp_path, space=str(path)).bounds.largest.ema == 0.99


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        ("trial.suggest_categorical('micro_batch_size', [8, 32, 16])", 32),
        ("trial.suggest_categorical('micro_batch_size', [8, None])", None),
        ("trial.suggest_int('micro_batch_size', 8, 24)", 24),
    ],
)
def test_the_largest_trial_has_the_most_images_at_once(tmp_path, asked, most):
    path = tmp_path / "mine.py"
    path.write_text(
        "from search.space import Space\n"
        "from trainables.config import TrialConfig\n"
        "SPACE = Space(summary='mine', dataset='demo',\n"
        "              baseline=TrialConfig(network='resnet18', micro_batch_size=8),\n"
        f"              suggest=lambda trial: {{'micro_batch_size': {asked}}})\n",
        encoding="utf-8",
    )
    assert plan_of(tmp_path, space=str(path)).bounds.largest.micro_batch_size == most


def test_a_source_that_has_gone_does_not_matter_to_a_prepared_run(tmp_path, tiny_data):
    values = {"space": "demo", "dataset": "tiny-imagenet", "data": str(tiny_data.parent)}
    options, _ = resolve({**values, "source": "/gone.zip", "out": str(tmp_path)})
    assert make_plan(options, resuming=True)[1] == []
    assert "must exist" in make_plan(options, resuming=False)[1][0]


def test_the_deepest_trial_freezes_what_any_trial_may(tmp_path):
    plan = plan_of(tmp_path, space="resnet50", source=str(tmp_path))
    assert plan.bounds.starting == (plan.baseline.but(freeze_depth=5),)
    fixed = plan_of(tmp_path, space="resnet50", source=str(tmp_path), set=["freeze_depth=3"])
    assert [config.freeze_depth for config in fixed.bounds.starting] == [3]


def test_a_library_s_network_costs_nobody_knows_what(tmp_path):
    plan = plan_of(tmp_path, set=["network=timm:convnext_atto", "stem=imagenet"])
    assert expected_epoch_s(plan, training_speed(plan, 1000, None)) is None
    cost = describe_cost(plan, 1000, training_speed(plan, 1000, None))
    assert cost.endswith("the network's cost is unknown: --dry-run --measure measures it")
    measured = Measurement(precision="float32", images_per_s={"float32": 10.0})
    assert describe_cost(plan, 1000, training_speed(plan, 1000, measured)).endswith(
        "(measured on this machine)"
    )


def test_a_proposer_takes_the_precision_that_was_found_and_the_plan_stays_as_it_is(tmp_path):
    plan = plan_of(tmp_path)
    proposer = make_proposer(plan, "bfloat16")
    trial = optuna.trial.FixedTrial(proposer.baseline_params())
    assert proposer.propose(trial)[1] == plan.baseline.but(precision="bfloat16")
    assert plan.fixed["precision"] == make_proposer(plan).fixed["precision"] == "auto"


def test_the_limit_that_counts_is_named_in_the_plan_and_on_the_page(tmp_path, capsys):
    limit = "2 cores (of 64; limit of the container's CPU quota, cgroup v2)"
    here = Machine(cpus=2, memory_bytes=1 << 35, gpus=(), limits=(limit,))
    plan = plan_of(tmp_path, here)
    assert plan.resources.concurrent == 2
    show_plan(plan, None, None, None, ())
    assert f"machine  {limit}" in capsys.readouterr().out.replace("\n", " ")
    recorded = provenance(here, [])
    assert recorded["machine"]["limits"] == limit
    assert f"limits {limit}" in dict(shown({"provenance": recorded}))["machine"]
    show_plan(plan_of(tmp_path, machine()), None, None, None, ())
    assert "\nmachine " not in capsys.readouterr().out
    assert "limits" not in provenance(machine(), [])["machine"]


def test_the_plan_names_gpus_that_stay_idle_where_trials_train_on_gpus(tmp_path, capsys):
    here = replace(machine(gpus=["L4"]), gpu_notes=("GPU 0 (A100) stays idle.",))
    for share, named in (("auto", True), ("0", False)):
        show_plan(plan_of(tmp_path, here, gpus_per_trial=share), None, None, None, ())
        assert ("note     GPU 0 (A100) stays idle." in capsys.readouterr().out) == named


def test_deterministic_is_the_same_for_all_trials_and_left_out_otherwise(tmp_path):
    plan = plan_of(tmp_path, deterministic=True)
    assert all(config.deterministic for config in plan.preview)
    assert plan.bounds.largest.deterministic
    assert "deterministic" not in plan_of(tmp_path).fixed
    again = plan_of(tmp_path, deterministic=True, set=["deterministic=false"])
    assert not again.baseline.deterministic


def test_what_numbers_on_a_gpu_depend_on_is_recorded():
    here = Machine(cpus=2, memory_bytes=1 << 35, gpus=())
    settings = {"name": "L4", "cudnn": 91900, "tf32_convolutions": True, "mps": False}
    recorded = provenance(here, [], gpu=settings)
    assert recorded["machine"]["gpu"] == settings
    assert "gpu" not in provenance(here, [])["machine"]
