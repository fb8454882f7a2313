"""The GPU benchmark: its report, its budget, and all of it in miniature on a CPU."""

import ast
import json
import math
import time
import warnings
from collections import Counter
from functools import partial

import pytest

from results.published import make_gpu
from tests.benchmarks import measure
from tests.benchmarks.gpu import bench_gpu
from tests.benchmarks.gpu.bench import Wanted, pick
from tests.benchmarks.gpu.card_report import BUSY, EIGHT, PACKING, PATTERN, RATE, CardReport
from tests.benchmarks.gpu.made_images import draw
from tests.benchmarks.measure import BenchmarkError, Goal

AGAINST_PATTERN, AGAINST_PACKING, STEP_RATIO, _ = make_gpu.GOALS
STEP = "step of resnet18, 64 px, batch 64"


def card_report(tmp_path, uuid="one"):
    return CardReport(tmp_path / "card.json", {"card": "A card"}, uuid)


@pytest.fixture
def report(tmp_path):
    return card_report(tmp_path)


def content(tmp_path):
    return json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))


def attempt(report, name, *values):
    for number, value in enumerate(values, start=1):
        wanted = Wanted(name, "u", partial(dict, value=value))
        report.attempt("speed", "steps", wanted, number)


@pytest.mark.parametrize("part", make_gpu.PARTS)
def test_the_page_lists_every_section_in_order(part):
    """The modules are read, because they import torch."""
    path = measure.ROOT / "tests" / "benchmarks" / "gpu" / f"{part}.py"
    last = ast.parse(path.read_text(encoding="utf-8")).body[-1]
    names = [ast.unparse(each).rpartition(".")[2] for each in last.value.elts]
    assert names == list(make_gpu.PARTS[part])


def test_goals_follow_from_measurements_of_the_same_round(report, tmp_path):
    attempt(report, EIGHT, 20.0, 30.0)
    attempt(report, f"{PATTERN}, 1 at once", 200.0, 100.0)
    attempt(report, f"{PATTERN}, 4 at once", 100.0, 300.0)
    attempt(report, f"{PACKING}, 1 at once", 1000.0)
    attempt(report, f"{PACKING}, 2 at once", 1500.0, 1400.0, 9000.0)
    attempt(report, f"{PACKING}, 2 at once under MPS", 4000.0)
    attempt(report, RATE, 1200.0)
    attempt(report, STEP, 2.0, 2.0)
    attempt(report, f"{STEP}, beside", 3.0)
    report.state()
    figures = {figure["name"]: figure for figure in content(tmp_path)["figures"]}
    assert figures[AGAINST_PATTERN]["values"] == [0.2, 0.3]
    assert not figures[AGAINST_PATTERN]["met"]
    assert figures[AGAINST_PACKING]["values"] == [0.8]
    assert figures[AGAINST_PACKING]["met"]
    assert figures[STEP_RATIO]["values"] == [1.5]
    assert figures[STEP]["median"] == 2.0
    assert BUSY not in figures


def test_without_a_side_no_ratio_is_stated(report, tmp_path):
    attempt(report, EIGHT, 20.0)
    attempt(report, RATE, 1200.0)
    report.state()
    assert [figure["name"] for figure in content(tmp_path)["figures"]] == [EIGHT, RATE]


def test_only_what_one_card_has_measured_is_compared(report, tmp_path):
    attempt(report, STEP, 2.0)
    attempt(report, f"{PACKING}, 1 at once", 1000.0)
    another = card_report(tmp_path, "two")
    attempt(another, f"{STEP}, beside", 3.0)
    attempt(another, RATE, 900.0)
    another.state()
    assert {AGAINST_PACKING, STEP_RATIO}.isdisjoint(f["name"] for f in content(tmp_path)["figures"])


def test_a_failure_is_kept_until_its_measurement_is_made(report, tmp_path):
    def fail():
        raise RuntimeError("no such luck")

    report.attempt("correct", "loaders", Wanted("a", "u", fail), 1)
    attempt(report, "b", 5.0)
    failure = content(tmp_path)["failures"]["a"]
    assert failure["section"] == "loaders"
    assert "no such luck" in failure["error"]
    again = card_report(tmp_path)
    wanted = Wanted("a", "u", partial(dict, value=1.0, places={"x.py:1": 2}), Goal(limit=0))
    again.attempt("correct", "loaders", wanted, 1)
    again.state()
    assert content(tmp_path)["failures"] == {}
    assert [figure["name"] for figure in content(tmp_path)["figures"]] == ["b", "a"]
    assert [figure["met"] for figure in content(tmp_path)["figures"]] == [None, False]


def test_another_machine_s_file_is_not_appended_to(report, tmp_path):
    attempt(report, "a", 1.0)
    with pytest.raises(BenchmarkError, match="differs in workload; start over in another --out"):
        CardReport(tmp_path / "card.json", {"card": "Another"}, "one")


def test_the_budget_ends_what_runs_and_no_more(capsys):
    began = time.perf_counter()
    with bench_gpu.ended_after(0.05):
        time.sleep(20)
    with bench_gpu.ended_after(20):
        pass
    assert time.perf_counter() - began < 5
    assert capsys.readouterr().out.count("The budget is spent") == 1


def test_results_of_one_process_are_picked_by_name():
    assert pick(lambda: {"a": 1.5}, "a") == {"value": 1.5}
    assert pick(lambda: {"a": {"value": 2, "alive": False}}, "a")["alive"] is False


def test_made_images_of_a_class_are_all_different():
    assert len(set(draw(3, 4))) == 4
    assert draw(3, 2) == draw(3, 4)[:2]


def test_an_unknown_section_is_named(capsys):
    with pytest.raises(SystemExit):
        bench_gpu.benchmark(["packing", "--only", "processes", "steps"])
    said = capsys.readouterr().err
    assert "sections of packing: processes, under_mps; but got steps." in said


@pytest.mark.slow
@pytest.mark.timeout(1800)  # under three minutes on two cores that nobody else uses
def test_all_parts_run_in_miniature_and_go_on(tmp_path):
    common = ["--mini", "--work", tmp_path, "--out", tmp_path / "card.json"]
    command = ["-m", "tests.benchmarks.gpu.bench_gpu"]
    for part in make_gpu.PARTS:
        more = ["--beside", measure.ROOT, "--budget", "1500"]
        measure.run([*command, part, *common, *more], timeout_s=1600)
    found = content(tmp_path)
    assert found["failures"] == {}
    assert found["command"].startswith("python -m tests.benchmarks.gpu.bench_gpu searches --mini")
    expected = {(part, name) for part, names in make_gpu.PARTS.items() for name in names}
    on_gpus_only = {("correct", name) for name in ("captured", "needed", "full_card")}
    on_gpus_only.add(("packing", "under_mps"))
    made = {(m["part"], m["section"]) for m in found["measurements"]}
    assert made == expected - on_gpus_only
    names = {figure["name"] for figure in found["figures"]}
    assert set(make_gpu.GOALS) <= names
    for figure in found["figures"]:
        assert {"unit", "goal", "met", "n", "median", "min", "max", "values"} < figure.keys()
        assert all(math.isfinite(value) for value in figure["values"])
    for measurement in found["measurements"]:
        assert set(make_gpu.ALWAYS) <= measurement.keys()
    _, out = measure.run([*command, "speed", *common, "--rounds", "9", "--budget", "1"])
    assert "The budget is spent" in out
    assert content(tmp_path)["measurements"] == found["measurements"]
    page = make_gpu.page([found])
    assert page.count(make_gpu.NOTHING) == len(on_gpus_only)


@pytest.mark.slow
def test_without_a_gpu_only_the_miniature_runs(tmp_path):
    with pytest.raises(BenchmarkError, match="torch must find a GPU, but finds none; try --mini"):
        bench_gpu.benchmark(["speed", "--work", str(tmp_path)])


@pytest.mark.slow  # torch is imported
def test_waits_are_counted_by_the_line_that_makes_them():
    from tests.benchmarks.gpu.correct import _host_waits

    places = Counter()
    with _host_waits(places):
        for _ in range(2):
            warnings.warn("called a synchronizing CUDA operation", UserWarning, stacklevel=1)
        warnings.warn("Synchronization debug mode is a prototype feature", stacklevel=1)
    assert list(places.values()) == [2]
    assert next(iter(places)).startswith("test_bench_gpu.py:")
