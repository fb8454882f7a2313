"""The noise of few val images, and what is counted of a search that sees it."""

import numpy as np
import pytest

from results.jsonl import read_lines
from search.simulation.recorded_curves import read_curves
from tests.benchmarks import bench_val_images, measure
from tests.benchmarks.bench_val_images import describe, shown
from tests.benchmarks.drawn import draw


def test_curves_scatter_as_the_accuracies_of_so_many_images(tmp_path) -> None:
    """By the binomial variance, half of which is common to a configuration's epochs."""
    curves = read_curves(draw(tmp_path, 0))
    assert shown(curves, None, 0) is curves
    seen = np.stack([shown(curves, 100, seed).val for seed in range(200)])
    np.testing.assert_allclose(seen * 100, np.round(seen * 100), atol=1e-9)
    inside = (curves.val > 0.2) & (curves.val < 0.8)
    expected = (curves.val * (1 - curves.val) / 100)[inside]
    assert float((seen.var(0)[inside] / expected).mean()) == pytest.approx(1.0, abs=0.03)
    errors = (seen - curves.val)[:, inside.all(1)]
    first, last = errors[:, :, 0].ravel(), errors[:, :, -1].ravel()
    assert np.corrcoef(first, last)[0, 1] == pytest.approx(0.5, abs=0.05)


def test_a_benchmark_goes_on_with_what_is_missing(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(bench_val_images, "IMAGES", (30, None))
    monkeypatch.setattr(bench_val_images, "BUDGET", 4)
    out = tmp_path / "val-images.json"
    table = str(draw(tmp_path, 1))
    for rounds in ("1", "2"):
        bench_val_images.benchmark(["--curves", table, "--rounds", rounds, "--out", str(out)])
    lines = list(read_lines(out.with_suffix(".jsonl")))
    assert "about" in lines[0]
    keys = [(each["images"], each["policy"], each["seed"]) for each in lines[1:]]
    assert len(keys) == len(set(keys)) == 2 * 2 * 2
    assert all(each["luck"] == [0.0] * 3 for each in lines[1:] if each["images"] is None)
    assert capsys.readouterr().out.count("| exact | ours | 2 |") == 1


def test_the_table_has_the_means_of_the_ends() -> None:
    made = [
        {
            "task": "t",
            "seed": seed,
            "images": 30,
            "policy": "ours",
            "regret": [1, regret],
            "points": [9, 5.0],
            "luck": [0, 2],
        }
        for seed, regret in enumerate((0.25, 0.75))
    ]
    assert list(describe(made))[2:] == [
        "| 30 | ours | 2 | 50.0 [25.0…75.0] | 5.0 [5.0…5.0] | 2.0 [2.0…2.0] |"
    ]


def test_the_guides_table_is_that_of_the_published_searches() -> None:
    lines = list(read_lines(measure.PUBLISHED / "val_images.jsonl"))
    guide = (measure.ROOT / "docs" / "guides" / "protocol.md").read_text(encoding="utf-8")
    assert "\n".join(describe(lines[1:])) in guide
