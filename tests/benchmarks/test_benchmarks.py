"""The benchmarks' own parts, and a smoke test of each."""

import json
from pathlib import Path

import optuna
import pytest

from datasets.access import open_search_data
from search.study.proposer import Proposer
from tests.benchmarks import (
    bench_checkpoint,
    bench_data,
    bench_frozen,
    bench_overhead,
    bench_search,
    bench_start,
    bench_views,
    measure,
)
from tests.benchmarks.eight_space import EIGHT, SPACE, plain
from tests.benchmarks.instant import EPOCHS, made_up
from tests.benchmarks.measure import BenchmarkError, Goal, Report
from tests.benchmarks.workload import DATASET, Size, Workload

MODULES = {
    "search": bench_search, "overhead": bench_overhead, "start": bench_start, "data": bench_data,
    "checkpoint": bench_checkpoint, "frozen": bench_frozen, "views": bench_views,
}  # fmt: skip


def constant(value):
    return lambda: {"value": value}


def test_a_figure_has_its_values_median_spread_and_goal(tmp_path):
    report = Report(tmp_path / "a.json", "a", {"images": 1})
    for number, (ours, theirs) in enumerate([(2, 4), (3, 4), (9, 6)], start=1):
        report.measure("ours", number, constant(ours))
        report.measure("theirs", number, constant(theirs))
    report.figure("ratio", "×", report.ratios("ours", "theirs"), Goal(limit=0.7))
    content = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert content["figures"] == [
        {
            "name": "ratio", "unit": "×", "goal": {"limit": 0.7, "at_most": True}, "met": False,
            "n": 3, "median": 0.75, "min": 0.5, "max": 1.5, "values": [0.5, 0.75, 1.5],
        }
    ]  # fmt: skip
    assert content["workload"] == {"images": 1}
    assert content["versions"]["ray"]
    assert content["machine"]["cpu"]


def test_a_goal_is_an_upper_or_a_lower_bound():
    assert Goal(limit=2).met(2)
    assert not Goal(limit=2).met(2.1)
    assert Goal(limit=2, at_most=False).met(2)
    assert not Goal(limit=2, at_most=False).met(1.9)


def test_an_interrupted_benchmark_goes_on_with_what_is_missing(tmp_path):
    path = tmp_path / "a.json"
    Report(path, "a", {"images": 1}).measure("one", 1, constant(5))
    again = Report(path, "a", {"images": 1}, resume=True)
    again.measure("one", 1, constant(7))
    again.measure("one", 2, constant(6))
    assert again.values("one") == [5, 6]
    with pytest.raises(BenchmarkError, match="differs in workload"):
        Report(path, "a", {"images": 2}, resume=True)
    assert Report(path, "a", {"images": 1}).values("one") == []


def test_a_command_that_fails_says_why():
    with pytest.raises(BenchmarkError, match="no such luck"):
        measure.run(["-c", "raise SystemExit('no such luck')"])
    with pytest.raises(BenchmarkError, match=r"hasn't ended after 0\.5 s"):
        measure.run(["-c", "import time; time.sleep(60)"], timeout_s=0.5)
    assert measure.run(["-c", "print(6 * 7)"])[1] == "42\n"


def test_the_space_proposes_exactly_the_eight():
    proposer = Proposer(SPACE, {"precision": "float32"}, seed=3)
    study = optuna.create_study()
    proposed = [proposer.propose(study.ask())[1] for _ in EIGHT]
    for config, wanted, told in zip(proposed, EIGHT, plain(8), strict=True):
        assert config == SPACE.baseline.but(**wanted, precision="float32")
        assert told["cutout"] == 64 * config.cutout
        same = ("lr", "dropout", "label_smoothing", "mixup_alpha", "batch_size", "freeze_depth")
        assert {name: told[name] for name in same} == {n: getattr(config, n) for n in same}
    assert len(set(proposed)) == 8


def test_both_sides_get_the_images_of_our_own_split(tmp_path, tiny_zip):
    workload = Workload(tiny_zip, tmp_path, Size(classes=3, images=10))
    assert workload.facts()["images_in_all"] == 3 * (10 + 6)
    data = open_search_data(workload.data / DATASET)
    root = workload.folders()
    train, val = (sorted(root.glob(f"{part}/*/*.JPEG")) for part in ("train", "val"))
    assert (len(train), len(val)) == (27, 3) == (len(data.train), len(data.val))
    # Listing order is sorted by path: index 10·class + position, numbers sorted as text.
    for position, index in enumerate(data.val.indices):
        class_id = f"n0000000{position + 1}"
        names = sorted(f"{class_id}_{number}.JPEG" for number in range(20))[:10]
        assert val[position].parent.name == class_id
        assert val[position].name == names[index - 10 * position]
    with pytest.raises(BenchmarkError, match="must have 5 classes"):
        Workload(tiny_zip, tmp_path, Size(classes=5, images=1))


def test_made_up_curves_rise_and_are_best_at_one_learning_rate():
    curves = {lr: [m.val_top1 for m in made_up(lr)] for lr in (1e-4, 1e-3, 1e-2)}
    assert all(len(curve) == EPOCHS and curve == sorted(curve) for curve in curves.values())
    assert max(curves, key=lambda lr: curves[lr][-1]) == 1e-3


def test_the_stages_of_a_start_are_read_from_what_is_printed():
    told = """  imports and plan: 1.5 s (at 1.5 s)
trials     2 of up to 1 epochs
  Ray: 4.0 s (at 5.6 s)
  worker and first batch: 2.0 s (first step at 7.6 s)
"""
    assert bench_start.stages(told) == {
        "value": 7.6,
        "stages": {"imports and plan": 1.5, "Ray": 4.0, "worker and first batch": 2.0},
    }
    with pytest.raises(BenchmarkError, match="must tell the first step"):
        bench_start.stages("nothing")


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_has_help(name, capsys):
    with pytest.raises(SystemExit) as ended:
        MODULES[name].benchmark(["--help"])
    assert ended.value.code == 0
    assert ("--source ZIP" in capsys.readouterr().out) == (name != "overhead")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_runs(name, tmp_path: Path, tiny_zip):
    out = tmp_path / "out.json"
    images = [] if name == "overhead" else ["--source", tiny_zip]
    command = ["-m", f"tests.benchmarks.bench_{name}", "--quick", *images, "--out", out]
    measure.run(command, timeout_s=580)
    content = json.loads(out.read_text(encoding="utf-8"))
    said = " ".join(["--quick", *(["--source tiny.zip"] if images else []), "--out out.json"])
    assert content["command"].endswith(f"bench_{name} {said}")
    assert content["figures"]
    for figure in content["figures"]:
        assert figure["n"] >= 1
        assert 0 <= figure["min"] <= figure["median"] <= figure["max"] or "growth" in figure["name"]
