"""The page about when a search is enough."""

import json
from pathlib import Path
from typing import Any

import pytest

from results.published import make_gain
from results.published.make_gain import ALIKE, SHARES, choose_share, page, read


def line(task: str, seed: int, estimator: str, gained: float, **more: Any) -> dict[str, Any]:
    end = {"share": 0.5, "expected": 0.001, "upper": 0.002, "gained": gained, "lost": 0.03}
    looks = {"n": 10, "above": 1, "expected": 0.02, "gained": 0.01}
    ends = {"0.005": end, "0.01": None if seed else end}
    return {"task": task, "rows": 40, "seed": seed, "estimator": estimator, "hour": 3,
            "looks": looks, "ends": ends, **more}  # fmt: skip


@pytest.fixture
def searches(tmp_path: Path) -> Path:
    """Three tables of ten seeds. With a share of 1, three searches of table c gained more; with
    0.7, one of each table; with 0.5, none.
    """
    more = {
        1.0: {"c": 3},
        0.7: {"a": 1, "b": 1, "c": 1},
        0.5: {},
    }
    lines = [
        line(task, seed, ALIKE.format(share), 0.003 if seed < more[share].get(task, 0) else 0.0)
        for share in SHARES
        for task in "abc"
        for seed in range(10)
    ]
    lines += [line("few", seed, ALIKE.format(0.5), 0.5, rows=8) for seed in range(10)]
    path = tmp_path / "gain.jsonl"
    path.write_text(
        "".join(json.dumps(each) + "\n" for each in [{"commit": "abc"}, *lines]), encoding="utf-8"
    )
    return path


def test_a_table_s_row_has_its_rates_means_and_costs(searches: Path, tmp_path: Path) -> None:
    make_gain.main(["--searches", str(searches), "--out", str(tmp_path)])
    text = (tmp_path / "gain.md").read_text(encoding="utf-8")
    rows = text.partition("`--min-gain 0.005`\n")[2].splitlines()
    assert rows[3] == "| a | 10 of 10 | 0 of 10 [0%…28%] | 0.10 | 0.00 | 50 | 3.0 [3.0…3.0] |"
    assert rows[6].startswith("| few | 10 of 10 | 10 of 10 [72%…100%] |")
    assert rows[7].startswith("| all that judge | 30 of 30 | 0 of 30 [0%…11%] |")
    assert "| few | 3 | 100 | 10.0% | 0.20 | 0.10 |" in text


def test_the_share_is_the_largest_that_is_safe_on_the_other_tables(searches: Path) -> None:
    found = read(searches)
    assert found.judges == ["a", "b", "c"]
    assert choose_share(found, ["a", "b"]) == 1.0
    assert choose_share(found, ["a", "c"]) == 0.5
    assert "| c | 100% | 4 of 11 [15%…65%] |" in page(found)
    assert "| a | 50% | 0 of 11 [0%…26%] |" in page(found)
