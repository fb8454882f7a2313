"""The page about scale: its figures, and what follows from them."""

import json

import pytest

from results.published import make_scale


def milestone(trials: int, decision_ms: float) -> dict[str, object]:
    return {
        "name": "study", "round": trials // 1000, "commit": "0123456789abcdef", "trials": trials,
        "value": decision_ms, "p99_ms": 2 * decision_ms, "report_ms": 1.0, "report_p99_ms": 3.0,
        "epochs": 5 * trials, "memory_mb": 200.0, "journal_mb": trials / 500, "records_mb": 9.0,
        "files": 6,
    }  # fmt: skip


CONTENT = {
    "command": "python -m tests.benchmarks.bench_scale",
    "machine": {"cpu": "a core"},
    "python": "3.11",
    "versions": {"optuna": "5", "numpy": "2"},
    "workload": {"space": "resnet18", "epochs": 30, "grace": 3, "trials": 2000, "workers": 500,
                 "every": 10, "milestone": 1000},
    "measurements": [
        milestone(2000, 45.0),
        milestone(1000, 20.0),
        {"name": "bounded", "round": 0, "commit": "0123", "trials": 1000, "value": 50.0},
        {"name": "bounded", "round": 1, "commit": "0123", "trials": 5000, "value": 90.0},
        {"name": "unbounded", "round": 0, "commit": "0123", "trials": 1000, "value": 250.0},
        {"name": "reopening", "round": 0, "commit": "0123", "trials": 2000, "value": 1.5,
         "journal_s": 2.5},
    ],
}  # fmt: skip


def test_an_epoch_costs_its_report_and_its_share_of_a_decision() -> None:
    assert make_scale.shortest_epoch_s(milestone(1000, 20.0), 500) == pytest.approx(2.5)


def test_the_page_is_made_of_the_figures(tmp_path) -> None:
    (tmp_path / "scale.json").write_text(json.dumps(CONTENT), encoding="utf-8")
    make_scale.main(["--figures", str(tmp_path / "scale.json"), "--out", str(tmp_path)])
    text = (tmp_path / "scale.md").read_text(encoding="utf-8")
    first = text.index(
        "| 1,000 | 20 ms | 40 ms | 1.00 ms | 3.00 ms | 200 MB | 2.0 MB | 9.0 MB | 6 "
    )
    assert first < text.index("| 2,000 | 45 ms | 90 ms ")
    assert "| 200 | 2.5 s |" in text
    assert "| 1,000 | 50 ms | 250 ms |" in text
    assert "| 5,000 | 90 ms | not tried |" in text
    assert "takes 4.0 s before the first proposal, of which 2.5 s read the journal" in text
    assert "After 2,000 trials that is 5.0 s, and a\ndecision of the model is 90% of it" in text
    assert "Ray takes no part" in text


def test_decisions_stand_beside_those_of_an_earlier_commit() -> None:
    earlier = {"measurements": [milestone(1000, 40.0), milestone(2000, 300.0)]}
    text = make_scale.beside(CONTENT, earlier)
    assert "## Decisions beside commit 0123456" in text
    assert "| 2,000 | 300 ms | 45 ms | 0.15 | 600 ms | 90 ms | 0.15 |" in text
    assert "| 1,000 | 40 ms | 20 ms | 0.50 | 80 ms | 40 ms | 0.50 |" in text
