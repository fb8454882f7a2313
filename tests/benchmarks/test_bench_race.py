"""The race: its rival's training, what is handed over when, the judge, and the page."""

import json
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import trainables.torchvision_import  # noqa: F401 (before torchvision, which imports the compiler)
from datasets.access import open_search_data
from results.jsonl import read_lines
from results.published import make_race
from results.published.make_race import sides_of, time_to_equal
from results.records import TrialRecord, TrialState
from results.store import RunStore
from search.spaces import find_space
from tests.benchmarks import bench_race, measure, race_judge, race_sides
from tests.benchmarks.plain_training import Settings, build, mixing, optimizing, train, transforms
from tests.benchmarks.race_documented import Ask
from tests.benchmarks.race_sides import (
    DOCUMENTED,
    OURS,
    SHARES,
    Race,
    Reported,
    best_value,
    last_value,
    summary,
    trained_in_full,
)
from tests.benchmarks.workload import Size, Workload
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig
from trainables.models.network import build as our_network
from trainables.training.optimizer import lr_at

SETTINGS = Settings(root="nowhere", mean=(0.5,) * 3, std=(0.25,) * 3, threads=1, workers=0)
SMALL = TrialConfig(network="resnet10", image_size=32, batch_size=16, epochs=2, lr=2e-3,
                    precision="float32")  # fmt: skip


def full(**changes):
    """A configuration as a search hands it over: every field."""
    return SMALL.but(**changes).to_dict()


@pytest.fixture(scope="module")
def workload(tiny_zip, tmp_path_factory) -> Workload:
    return Workload(tiny_zip, tmp_path_factory.mktemp("race"), Size(classes=None, images=20))


@pytest.mark.parametrize("space", ["demo", "mini_alexnet", "efficientnet_lite0"])
def test_the_rivals_networks_are_as_large_as_ours(space):
    config = find_space(space).baseline.but(dropout=0.1, weights="none")
    theirs, ours = build(config.to_dict(), 20), our_network(config, 20)
    shapes = [
        sorted(tuple(p.shape) for p in network.parameters() if p.ndim > 1)
        for network in (theirs, ours)
    ]
    assert shapes[0] == shapes[1]


def test_the_rivals_frozen_stages_are_ours():
    config = find_space("efficientnet_lite0").baseline.but(freeze_depth=5, weights="none")
    theirs, ours = build(config.to_dict(), 20), our_network(config, 20)
    from trainables.models.network import freeze

    freeze(ours, 5)
    counts = [
        sum(p.numel() for p in network.parameters() if p.requires_grad)
        for network in (theirs, ours)
    ]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
def test_the_rivals_learning_rates_are_ours(schedule):
    config = SMALL.but(schedule=schedule, epochs=3)
    net = torch.nn.Linear(2, 2)
    opt, scheduler = optimizing(config.to_dict(), net, 3 * 7)
    found = []
    for _ in range(3 * 7):
        found.append(opt.param_groups[0]["lr"])
        opt.step()
        scheduler.step()
    assert found == pytest.approx([lr_at(config, step, 7) for step in range(21)], rel=1e-3)


def test_the_rival_augments_as_asked():
    names = [
        [type(each).__name__ for each in transforms(full(**fields), SETTINGS)[0].transforms]
        for fields in ({}, {"flip": True, "crop": 0.125, "policy": "trivial", "cutout": 0.5})
    ]
    assert names[0] == ["PILToTensor", "ToDtype", "Normalize"]
    assert names[1] == ["RandomHorizontalFlip", "RandomCrop", "TrivialAugmentWide", *names[0],
                        "RandomErasing"]  # fmt: skip
    of_train, _ = transforms(full(cutout=0.5), SETTINGS)
    assert of_train.transforms[-1].scale == (0.25, 0.25)
    batch, labels = torch.rand(4, 3, 8, 8), torch.arange(4)
    assert mixing(full(), 4)(batch, labels)[1] is labels
    mixed = mixing(full(mixup_alpha=0.4, cutmix_alpha=1.0), 4)(batch, labels)[1]
    assert mixed.shape == (4, 4)
    assert mixed.sum(1).tolist() == pytest.approx([1.0] * 4)


@pytest.mark.slow
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_rivals_training_learns(ema, workload, one_thread):
    settings = replace(SETTINGS, root=str(workload.folders()))
    reports = list(train(full(epochs=5, batch_size=8, ema=ema), settings))
    assert [report["epoch"] for report in reports] == [1, 2, 3, 4, 5]
    assert {report["images"] for report in reports} == {72}
    assert reports[-1]["val_top1"] >= 0.75


def test_rays_searcher_is_asked_for_the_whole_space():
    import optuna

    space = find_space("mini_alexnet")
    constants = space.baseline.to_dict() | {"settings": {}}
    trial = optuna.create_study().ask()
    rest = Ask(space.suggest, constants)(trial)
    assert rest.keys() | trial.params.keys() == constants.keys() | trial.params.keys()
    assert not rest.keys() & trial.params.keys()


def race(workload, **changes) -> Race:
    made = Race(space_name="demo", space=find_space("demo"), workload=workload, source=None,
                seconds=100.0, epochs=2)  # fmt: skip
    return replace(made, **changes)


def reported(*rows):
    return [Reported(at_s=at, trial=t, epoch=e, val_top1=v) for at, t, e, v in rows]


def test_each_side_hands_over_by_its_own_rule_what_it_knows_by_then(workload):
    seen = reported((8, "0", 1, 0.3), (12, "1", 1, 0.5), (20, "1", 2, 0.2), (40, "2", 1, 0.5),
                    (99, "0", 2, 0.4), (101, "2", 2, 0.9))  # fmt: skip
    trials = {str(n): full(lr=10.0**-n, precision="bfloat16", seed=7) for n in range(3)}
    lr = {n: trained_in_full(race(workload), config)["lr"] for n, config in trials.items()}
    ours = summary(race(workload), seen, trials, best_value)
    theirs = summary(race(workload), seen, trials, last_value)
    assert SHARES == (0.05, 0.1, 0.15, 0.25, 0.5, 1.0)
    at = [config and config["lr"] for config in ours["handed_over"]]
    assert at == [None, lr["0"], lr["1"], lr["1"], lr["1"], lr["1"]]
    at = [config and config["lr"] for config in theirs["handed_over"]]
    assert at == [None, lr["0"], lr["1"], lr["0"], lr["2"], lr["2"]]
    assert (ours["trials"], ours["epochs_trained"], ours["best_val_top1"]) == (3, 5, 0.5)
    kept = ours["handed_over"][-1]
    assert (kept["epochs"], kept["precision"], kept["seed"]) == (2, "auto", 0)
    assert summary(race(workload), [], {}, best_value)["handed_over"] == [None] * 6


@pytest.mark.slow
def test_a_side_runs_in_its_own_home_and_lines_are_timed(tmp_path):
    (tmp_path / "clone").mkdir()
    log = tmp_path / "log.jsonl"
    program = (
        "import os, time, pathlib\n"
        f"log = pathlib.Path({str(log)!r})\n"
        "for n in range(2):\n"
        "    time.sleep(1)\n"
        "    log.open('a').write('{}\\n')\n"
        "print(os.environ['HOME'], pathlib.Path.cwd())\n"
    )
    times = race_sides.run_side(["-c", program], tmp_path, 60, watch=log)
    assert len(times) == 2
    assert 1 <= times[0] < times[1]
    assert times[1] - times[0] >= 1 - 2 * race_sides.POLL_S
    printed = (tmp_path / "printed.txt").read_text(encoding="utf-8")
    assert printed.split() == [str(tmp_path / "home"), str(tmp_path / "clone")]
    (tmp_path / "other" / "clone").mkdir(parents=True)
    with pytest.raises(measure.BenchmarkError, match="no such luck"):
        race_sides.run_side(["-c", "raise SystemExit('no such luck')"], tmp_path / "other", 60)


def test_a_late_side_is_ended(tmp_path, monkeypatch):
    (tmp_path / "clone").mkdir()
    monkeypatch.setattr(race_sides, "LATE_S", 0.5)
    monkeypatch.setattr(race_sides, "GRACE_S", 0.5)
    deaf = "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(60)"
    race_sides.run_side(["-c", deaf, f"of {tmp_path}"], tmp_path, 0.5)
    left = subprocess.run(["pgrep", "-f", f"of {tmp_path}"], capture_output=True, encoding="utf-8")
    assert left.stdout.split() == []


@pytest.mark.slow
def test_a_unit_is_gone_on_with_and_reused(workload, tmp_path, monkeypatch):
    """All of the benchmark but Ray: the sides' searches are handed in."""
    begun = []

    def search(side):
        def run(the_race, seed, *_):
            begun.append((side, seed))
            seen = reported((1, "0", 1, 0.2), (30, "1", 1, 0.4 if side == OURS else 0.1))
            return summary(the_race, seen, {"0": full(), "1": full(lr=1e-3)}, best_value)

        return run

    monkeypatch.setattr(race_sides, "documented", search(DOCUMENTED))
    monkeypatch.setattr(race_sides, "ours", search(OURS))
    loop = {"loop": {"threads": 1, "workers": 1}, "ratio": 0.9, "fair": True,
            "bare_images_per_s": [100.0]}  # fmt: skip
    monkeypatch.setattr(bench_race.race_loop, "compare", lambda *_: loop)
    monkeypatch.setattr(bench_race, "Workload", lambda *_: workload)
    monkeypatch.setattr(race_judge, "CORES", 1)
    out = tmp_path / "race.jsonl"
    command = ["demo", "--minutes", "2", "--epochs", "1", "--out", str(out)]
    bench_race.benchmark([*command, "--sides", "documented", "ours", "--remark", "Beside tests."])
    assert begun == [(DOCUMENTED, 0), (OURS, 0)]
    lines = list(read_lines(out))
    judged = [line for line in lines if line.get("judged")]
    assert len(judged) == 2 * len(race_judge.SEEDS)  # two configurations
    assert {line["seed"] for line in judged} == set(race_judge.SEEDS)
    size = len(lines)

    bench_race.benchmark([*command, "--sides", "documented", "ours"])
    assert len(begun) == 2
    assert len(list(read_lines(out))) == size
    assert bench_race.reusable(lines[1], {"side": DOCUMENTED}, lines[1] | {"commit": "other"})
    assert not bench_race.reusable(lines[1], {"side": DOCUMENTED}, lines[1] | {"machine": {}})
    assert not bench_race.reusable(lines[2], {"side": OURS}, lines[2] | {"commit": "other"})

    make_race.main(["--races", str(out), "--out", str(tmp_path)])
    said = (tmp_path / "race.md").read_text(encoding="utf-8")
    assert "## `demo`, 2 minutes, 1 epochs" in said
    assert "| Ray Tune as documented | 1 | 2 | " in said
    assert "Remark: Beside tests." in said
    assert (tmp_path / "race-demo.svg").read_text(encoding="utf-8").count("<polyline") == 2


def test_a_loop_that_is_no_fair_rival_ends_the_race(workload, tmp_path, monkeypatch):
    slow = {"loop": {"threads": 1, "workers": 0}, "ratio": 0.5, "fair": False}
    monkeypatch.setattr(bench_race.race_loop, "compare", lambda *_: slow)
    monkeypatch.setattr(bench_race, "Workload", lambda *_: workload)
    with pytest.raises(measure.BenchmarkError, match=r"must reach 0\.8 .* reaches 0\.50"):
        bench_race.benchmark(["demo", "--out", str(tmp_path / "race.jsonl")])


def test_the_workers_time_is_told_by_its_use(workload, tmp_path):
    store = RunStore.create(tmp_path / "run", {})
    running = TrialRecord(number=0, state=TrialState.RUNNING, params={}, config=full())
    store.add_trial(running)
    spent = {"train_s": 8.0, "wall_s": 10.0, "loading_s": 1.0, "start_s": 3.0, "idle_s": 0.5}
    for epoch in (1, 2):
        store.add_epoch(0, replace(metrics(epoch, 0.5), **spent))
    store.close()
    the_race = race(workload)
    found = race_sides.time_use(tmp_path / "run", the_race)
    known = {"training": 14.0, "evaluation": 4.0, "loading": 2.0, "starting": 4.0, "idle": 1.0}
    assert found == known | {"other": 2 * the_race.seconds - 25.0}
    sides = [
        make_race.Side(name=OURS, searches={0: {"seconds": found}, 1: {"seconds": known | {
            "other": 25.0}}, 2: {}}, quality={}),
    ]  # fmt: skip
    table = make_race._time_use(sides)
    share = 50 * (14 / (2 * the_race.seconds) + 14 / 50)
    assert table[2].startswith(f"| ours | 2 | {share:.0f} | ")
    assert make_race._time_use([make_race.Side(name=OURS, searches={0: {}}, quality={})]) == []


def test_the_judge_gives_the_last_epochs_value(workload, one_thread):
    from trainables.train import train as our_train

    config = SMALL.but(precision="auto")
    line = race_judge.full_training(config.to_dict(), 101, "float32", workload.directory)
    data = open_search_data(workload.directory)
    *_, last = our_train(config.but(seed=101, precision="float32"), data)
    assert (line["val_top1"], line["train_top1"]) == (last.val_top1, last.train_top1)
    assert (line["unseen"], line["images"]) == (False, len(data.val))


def test_the_judge_takes_images_that_no_search_has_seen(tiny_zip, tmp_path, one_thread):
    part = Workload(tiny_zip, tmp_path, Size(classes=3, images=10))
    unseen = part.unseen(6)
    with (
        zipfile.ZipFile(part.zip) as ours,
        zipfile.ZipFile(unseen.parents[1] / "images.zip") as more,
    ):
        names = [
            {Path(name).name for name in each.namelist() if "/train/" in name}
            for each in (ours, more)
        ]
    assert (len(names[0]), len(names[1])) == (30, 18)
    assert not names[0] & names[1]
    line = race_judge.full_training(SMALL.to_dict(), 101, "float32", part.directory, unseen)
    assert (line["unseen"], line["images"]) == (True, 18)
    assert (line["val_top1"] * 18) % 1 == pytest.approx(0, abs=1e-6)
    config, other = SMALL.to_dict(), full(lr=1e-3)
    todo = race_judge.missing([config, other], [line], unseen=True)
    assert todo == [(config, 102), (config, 103), *((other, seed) for seed in race_judge.SEEDS)]
    assert len(race_judge.missing([config], [line], unseen=False)) == len(race_judge.SEEDS)


def test_a_whole_source_leaves_no_images_to_judge_on(workload):
    assert workload.unseen(6) is None


def test_the_demo_is_judged_on_images_drawn_for_it(tmp_path, small_demo):
    part = Workload(None, tmp_path, Size(classes=None, images=2))
    data = open_search_data(part.unseen(2))
    assert len(data.train) + len(data.val) == 40
    assert data.images.class_ids == open_search_data(part.directory).images.class_ids


@pytest.mark.parametrize(
    ("ours", "theirs", "share"),
    [
        ([None, 40, 50, 60], [10, 20, 30, 50], 0.5),
        ([60, 40, 40, 60], [None, None, None, 50], 1.0),
        ([60, 50, 50, 50], [None, None, None, 50], 0.05),
        ([10, 20, 30, 40], [90, 80, 70, 50], 1.0),
        ([None, 20, 30, 40], [None, None, None, None], 0.1),
    ],
)
def test_the_time_to_equal_quality_is_the_first_share_from_which_on_it_is_held(ours, theirs, share):
    assert time_to_equal((0.05, 0.1, 0.5, 1.0), ours, theirs) == share


def test_a_configuration_counts_with_the_mean_of_its_judged_trainings():
    config = full()
    lines = [
        {"space": "demo", "side": OURS, "seed": 3, "handed_over": [None, config]},
        *({"judged": True, "config": config, "seed": n, "val_top1": v}
          for n, v in enumerate((0.5, 0.6, 0.7))),
    ]  # fmt: skip
    (side,) = sides_of(json.loads(json.dumps(lines)), "demo")
    assert side.quality == {3: [None, pytest.approx(60.0)]}
    unseen = {"judged": True, "config": config, "seed": 0, "val_top1": 0.4, "unseen": True}
    (side,) = sides_of(json.loads(json.dumps([*lines, unseen])), "demo")
    assert side.quality == {3: [None, pytest.approx(40.0)]}


@pytest.mark.slow
def test_a_race_of_real_searches(tmp_path: Path):
    out = tmp_path / "race.jsonl"
    measure.run(["-m", "tests.benchmarks.bench_race", "demo", "--minutes", "1", "--epochs", "2",
                 "--out", out], timeout_s=580)  # fmt: skip
    lines = list(read_lines(out))
    sides = [line for line in lines if "side" in line]
    assert [line["side"] for line in sides] == ["documented", "before", "ours", "screening"]
    assert all(line["handed_over"][-1] for line in sides)
    assert sum(bool(line.get("judged")) for line in lines) >= 3
