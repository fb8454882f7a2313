"""The benchmark of reading a run: small, from its beginning to its page."""

import json

import pytest

from results.published import make_scale
from tests.benchmarks import bench_reading, measure


@pytest.mark.slow
def test_it_measures_each_command_at_both_sizes_and_makes_its_part_of_the_page(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(bench_reading, "TRIED", tmp_path)
    out = tmp_path / "reading.json"
    arguments = ["--quick", "--out", str(out), "--beside", str(measure.ROOT)]
    assert measure.main(lambda: bench_reading.benchmark(arguments)) == 0
    content = json.loads(out.read_text(encoding="utf-8"))
    found = content["measurements"]
    assert len(found) == 2 * 3 * 2
    assert {(m["trials"], m["command"]) for m in found} == {
        (trials, command) for trials in (20, 60) for command in bench_reading.COMMANDS
    }
    assert all(m["value"] > 0 and m["memory_mb"] > 10 for m in found)
    assert all((m["page_mb"] > 1) == (m["command"] == "report") for m in found)
    text = make_scale.reading(content)
    assert text.count("\n| 60 |") == text.count("\n| 20 |") == 3
    assert "| seconds at 1ba3fe8 | memory | ratio |" in text
