"""The parts of the benchmark of expected gains, and a smoke test of it."""

import numpy as np
import pytest

from results.jsonl import read_lines
from results.published import make_gain
from tests.benchmarks import bench_gain, measure
from tests.benchmarks.bench_gain import Trace, evaluate, looks
from tests.search.curves_for_simulation import made


def trace(rows: int, epochs: int) -> Trace:
    """One worker trains the rows of a table of rising values, one after the other; the last is
    still running.
    """
    events = [
        (float(row * epochs + epoch), row, row, epoch, 0.1 * row / rows + 0.01 * epoch)
        for row in range(rows)
        for epoch in range(1, epochs + 1)
    ]
    endings = {str(row): "complete" for row in range(rows - 1)}
    return Trace(
        events=events[:-1],
        params={str(n): {} for n in range(rows)},
        endings=endings | {"1": "diverged"},
        marks=[1, 3],
    )


def test_an_estimator_sees_a_search_as_it_was_when_a_trial_ended():
    found = list(looks(trace(4, 3)))
    assert [look.event for look in found] == [2, 5, 8]
    assert [look.begun for look in found] == [1, 2, 3]
    assert [look.leader for look in found] == [0, 0, 2]  # trial 1 has diverged
    assert [each.unfit for each in found[2].evidence] == [False, True, False]
    assert found[1].evidence[0].values == pytest.approx({1: 0.01, 3: 0.03})


def test_an_end_is_judged_by_what_the_next_hour_gained():
    curves = made([[0.1 * row / 40 + 0.01 * epoch for epoch in (1, 2, 3)] for row in range(40)])
    found = {
        (line["estimator"], line["hour"]): line
        for line in evaluate(curves, trace(40, 3), bench_gain.SLOW_SEEDS, 30)
    }
    assert len(found) == 4 * 3
    line = found["records alone", 1]
    assert line["looks"]["n"] > 0
    # Each training is better than the one before by 0.1 / 40 in the end.
    assert line["looks"]["gained"] / line["looks"]["n"] == pytest.approx(0.0025, rel=0.1)
    end = line["ends"]["0.01"]
    assert end is None or end["gained"] == pytest.approx(0.0025, abs=1e-5)
    assert np.isfinite(line["looks"]["expected"])


@pytest.mark.slow
def test_the_benchmark_runs_and_makes_its_page(tmp_path):
    out = tmp_path / "gain.json"
    command = ["-m", "tests.benchmarks.bench_gain", "--quick", "--traces", tmp_path / "traces"]
    measure.run([*command, "--out", out], timeout_s=580)
    lines = [line for line in read_lines(tmp_path / "gain.jsonl") if "task" in line]
    assert {line["task"] for line in lines} == {"drawn-0", "drawn-1"}
    assert len(lines) == 2 * 5 * 3
    measure.run([*command, "--out", out], timeout_s=580)
    assert len([line for line in read_lines(tmp_path / "gain.jsonl") if "task" in line]) == 30
    make_gain.main(["--searches", str(tmp_path / "gain.jsonl"), "--out", str(tmp_path)])
    assert "drawn-1" in (tmp_path / "gain.md").read_text(encoding="utf-8")
