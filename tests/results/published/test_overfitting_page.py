"""The page of the overfitting rule: made from its measurements, and up to date."""

import json

import pytest

from results.jsonl import read_lines
from results.published import make_overfitting as page

HEADER = {
    "command": "python -m tests.benchmarks.bench_overfitting", "python": "3.11.2", "commit": "abc",
    "versions": {"numpy": "2", "optuna": "5"}, "subsets": 100, "subset_trials": 50,
    "machine": {"cpu": "A CPU", "cpus": 2, "system": "Linux"}, "default": "ours 0.05, 5",
    "budget": 60, "workers": 8,
}  # fmt: skip


def figure(rule, task, part="all", *, saved=0, epochs=100, lost=0.0):
    """A rule on a table; `saved` epochs of `epochs` in trials that overfit."""
    counts = {"trials": epochs // 50, "epochs": epochs, "saved": saved}
    return {
        "rule": rule, "task": task, "part": part, "trials": 10, "saved": 0.02, "lost": lost,
        "overfitting": {page.DEFINITION: counts, page.WIDER: counts},
        "lost_worst": 3 * lost, "lost_table": 0.0, "loss_rise": 2 * lost,
    }  # fmt: skip


def lines(*, saved, lost):
    made = [HEADER]
    for task, share, epochs in (("taskset-a", saved, 300), ("taskset-b", 0, 100)):
        for part in ("all", "even", "odd"):
            made.append(figure("at the best epoch", task, part, saved=epochs, epochs=epochs))
            made.append(figure("ours 0.05, 5", task, part, saved=share, epochs=epochs, lost=lost))
    made.append({"images": 1000, "rule": "ours 0.05, 5", "stopped": 0.25})
    made.append({"run": "mini", "rule": "ours 0.05, 5", "trials": 23, "epochs": 188,
                 "trained": 180, "stopped": 1, "lost_worst": 0.011})  # fmt: skip
    for seed, gain in enumerate((0.02, -0.01)):
        outcome = {"regret": [0.4, 0.3, 0.2], "best": 0.5, "trials": 60}
        made.append({"policy": "random", "task": "taskset-a", "seed": seed, "without": outcome,
                     "with": outcome | {"best": 0.5 * (1 + gain), "trials": 62}})  # fmt: skip
    return made


def test_the_published_page_is_what_its_measurements_say():
    assert page.PAGE.read_text(encoding="utf-8") == page.page(list(read_lines(page.MEASURED)))


def test_shares_of_several_tables_are_those_of_all_their_epochs():
    tables = [figure("r", "a", saved=60, epochs=300), figure("r", "b", saved=20, epochs=100)]
    assert page.saved(tables) == pytest.approx(80 / 400)
    assert page.saved([figure("r", "a", epochs=0)]) == 0.0
    assert page.lost([figure("r", "a", lost=0.01), figure("r", "b")]) == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("saved", "lost", "met"),
    [(72, 0.004, ["met", "met"]), (40, 0.006, ["**missed**", "**missed**"])],
)
def test_goals_are_met_or_missed(tmp_path, saved, lost, met):
    path = tmp_path / "o.jsonl"
    path.write_text(
        "".join(json.dumps(line) + "\n" for line in lines(saved=saved, lost=lost)), encoding="utf-8"
    )
    page.main(["--measured", str(path), "--out", str(tmp_path / "page.md")])
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    goals = [line for line in text.splitlines() if "≤" in line or "≥" in line]
    assert [line.split("|")[-2].strip() for line in goals] == met
    assert f"| {saved / 400:.1%} | {met[1]} |" in goals[1]


def test_the_page_tells_tasks_searches_noise_and_runs():
    text = page.page(lines(saved=72, lost=0.001))
    assert "| a | 10 | 6 (6) | 24.0% (24.0%) | 100.0% (100.0%) | 0.100% | 0.30% | 0.20% |" in text
    assert "| 0.05, 5 | 24.0% / 0.100% | 0.0% / 0.100% | 18.0% / 0.100% |" in text
    assert "| random | 2 | with | 62.0 | 40.0 | 30.0 | 20.0 | +0.500% (-1.00%…+2.00%) |" in text
    assert "| ours 0.05, 5 | 25% |" in text
    assert "| mini | ours 0.05, 5 | 23 | 1 | 180 of 188 | 1.1% |" in text
