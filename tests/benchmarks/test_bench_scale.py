"""The benchmark of scale: small, from its beginning to its page, and gone on with."""

import json

import pytest

from results.published import make_scale
from tests.benchmarks import bench_scale, measure


@pytest.mark.slow
def test_it_measures_and_goes_on(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(bench_scale, "TRIED", tmp_path)
    out = tmp_path / "scale.json"
    assert measure.main(lambda: bench_scale.benchmark(["--quick", "--out", str(out)])) == 0
    found = json.loads(out.read_text(encoding="utf-8"))["measurements"]
    milestones = [m for m in found if m["name"] == "study"]
    assert [m["trials"] for m in milestones] == [21, 41]
    assert all(m["value"] > 0 and m["journal_mb"] > 0 for m in milestones)
    again = ["--quick", "--resume", "--out", str(out)]
    assert measure.main(lambda: bench_scale.benchmark(again)) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["measurements"] == found
    assert "## One decision of the model" in make_scale.page(
        json.loads(out.read_text(encoding="utf-8"))
    )


def test_it_has_help(capsys) -> None:
    with pytest.raises(SystemExit):
        bench_scale.benchmark(["--help"])
    assert "--workers N" in capsys.readouterr().out
