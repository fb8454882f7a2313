import json

import numpy as np
import pytest

from results.published import make_scheduler
from results.published.regret_figure import Line, draw
from results.published.regret_statistics import (
    at_shares,
    bootstrap,
    bootstrap_less,
    mean_ranks,
    wilcoxon,
)
from results.published.scheduler_searches import read

HEADER = {"commit": "abc", "python": "3.11", "budget": 60.0,
          "versions": {"ray": "2", "optuna": "5", "numpy": "2"}}  # fmt: skip


def searches(path, regret, *, seeds=6, workers=8, policies=("ours", "random")):
    """One line a search; `regret(policy, seed)` is constant over the budget's four parts."""
    lines = [HEADER]
    for policy in policies:
        for task in ("a", "b"):
            lines += [
                {"policy": policy, "task": task, "workers": workers, "seed": seed,
                 "regret": [regret(policy, seed)] * 4, "cpu_s": 1.0 + seed}
                for seed in range(seeds)
            ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_shares_are_parts_of_the_budget():
    assert at_shares(np.arange(20.0)).tolist() == [4.0, 9.0, 19.0]


def test_ranks_are_shared_where_values_are_equal():
    ours, theirs, third = np.array([[1.0, 2.0]]), np.array([[1.0, 3.0]]), np.array([[5.0, 1.0]])
    assert mean_ranks([ours, theirs, third]) == [1.75, 2.25, 2.0]


def test_p_of_a_policy_that_always_wins():
    ours = np.zeros((2, 5))
    theirs = np.arange(1.0, 11.0).reshape(2, 5)
    assert wilcoxon(ours, theirs) == pytest.approx(2 / 2**10)  # two of 2^10 signs are as extreme
    assert wilcoxon(ours, ours) == 1.0


def test_the_interval_holds_the_mean_and_knows_tasks_from_seeds():
    low, high = bootstrap(np.array([[0.0, 2.0] * 10, [10.0, 12.0] * 10]))
    assert low < 6.0 < high
    # Tasks differ by 10, but only seeds are drawn anew: deviation 1 / √40 = 0.16.
    assert high - low == pytest.approx(2 * 1.96 * 0.158, rel=0.15)


def test_how_much_less_regret_is_a_share_of_theirs_pair_by_pair():
    theirs = np.random.default_rng(0).uniform(1, 9, (2, 6))
    assert bootstrap_less(theirs / 4, theirs) == pytest.approx((75.0, 75.0))
    low, high = bootstrap_less(np.full((2, 6), 4.0), theirs)
    assert low < 100 * (1 - 4 / theirs.mean()) < high


def test_only_seeds_that_every_policy_has_are_compared(tmp_path):
    path = searches(tmp_path / "s.jsonl", lambda policy, seed: 0.1 * seed)
    whole = path.read_text(encoding="utf-8").splitlines()
    path.write_text(
        "\n".join(whole[:-1]) + "\n", encoding="utf-8"
    )  # random lacks the last seed on task b
    found = read(path)
    assert found.regret["ours", 8].shape == found.regret["random", 8].shape == (2, 5, 4)


def test_the_page_tells_the_better_policy_first(tmp_path):
    path = searches(
        tmp_path / "s.jsonl", lambda policy, seed: (0.2 if policy == "ours" else 0.4) + seed / 500
    )
    make_scheduler.main(["--searches", str(path), "--out", str(tmp_path)])
    page = (tmp_path / "scheduler.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith(("| ours", "| random"))]
    assert rows[0].startswith("| ours | 20.5 [")
    assert rows[0].endswith("| 1.0 | – | 3.5 |")  # the median of 1 … 6 s
    assert rows[1].startswith("| random | 40.5 [")
    assert "| 2.0 | 0.00049 |" in rows[1]  # 2 / 2^12
    assert "## 8 workers, 6 seeds a task" in page
    assert "At 100 % ours has 49 % [" in page  # 1 - 20.5 / 40.5
    assert "| ours | 20.5 | 20.5 |" in page
    assert (tmp_path / "scheduler.svg").read_text(encoding="utf-8").startswith("<svg ")


def test_further_rivals_are_compared_with_the_first_files_policies_on_their_own_seeds(tmp_path):
    first = searches(
        tmp_path / "first.jsonl",
        lambda policy, seed: 0.1 + seed / 100,
        policies=("ours", "random", "random + ASHA"),
    )
    other = searches(
        tmp_path / "other.jsonl", lambda policy, seed: 0.3, seeds=2, policies=("DEHB",)
    )
    make_scheduler.main(["--searches", str(first), str(other), "--out", str(tmp_path)])
    page = (tmp_path / "scheduler.md").read_text(encoding="utf-8")
    whole, _, further = page.partition("Further rivals search by")
    assert "## Further rivals, 8 workers, 2 seeds a task" in further
    rows = [line.split(" | ")[0] for line in further.splitlines() if line.startswith("| ")]
    assert rows == 2 * ["| policy", "| ours", "| random + ASHA", "| DEHB"]
    assert "| ours | 10.5 | 10.5 |" in further  # of the seeds 0 and 1 alone
    assert "| ours | 12.5 | 12.5 |" in whole
    assert "| DEHB" not in whole


def test_the_page_shows_what_a_search_hands_over_where_that_was_measured(tmp_path):
    path = searches(tmp_path / "s.jsonl", lambda policy, seed: 0.3 if policy == "ours" else 0.4)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if line.get("policy") == "ours":
            line["regret_latest"] = [0.25, 0.2, 0.15, 0.1]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    make_scheduler.main(["--searches", str(path), "--out", str(tmp_path)])
    text = (tmp_path / "scheduler.md").read_text(encoding="utf-8")
    part = text.split("## By what a search hands over")[1]
    means = ["25.0 [25.0…25.0]", "20.0 [20.0…20.0]", "15.0 [15.0…15.0]", "10.0 [10.0…10.0]"]
    assert f"| 8 | ours | {' | '.join(means)} | 30.0 [30.0…30.0] |" in part
    assert "random" not in part


def test_searches_of_rows_alone_are_compared_with_random_configurations(tmp_path):
    path = searches(tmp_path / "s.jsonl", lambda policy, seed: 0.3)
    rows = tmp_path / "rows.jsonl"
    made = searches(
        rows, lambda policy, seed: 0.5, policies=("ours", "random + ASHA"), workers=2
    ).read_text(encoding="utf-8")
    lines = [json.loads(line) for line in made.splitlines()]
    for line in lines[1:]:
        better = line["policy"] == "ours"
        line["regret_latest"] = [0.4, 0.2, 0.1, 0.05] if better else [0.5, 0.4, 0.3, 0.2]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    given = ["--searches", str(path), "--rows", str(rows), "--own-rows", str(rows)]
    make_scheduler.main([*given, "--out", str(tmp_path)])
    text = (tmp_path / "scheduler.md").read_text(encoding="utf-8")
    _, part, own = text.replace("### On tables of", "## Only the rows").split("## Only the rows")
    means = ["40.0 [40.0…40.0]", "20.0 [20.0…20.0]", "10.0 [10.0…10.0]", "5.0 [5.0…5.0]"]
    for each in (part, own):
        assert f"| 2 | ours | {' | '.join(means)} | 0.00049 |" in each  # 2 / 2^12
        assert "differs from random + ASHA by -10.0 [-10.0…-10.0] at 25%" in each
        assert "| ours | 40.0, 5.0 | 40.0, 5.0 |" in each


def test_the_published_page_and_figure_are_those_of_their_searches(tmp_path):
    make_scheduler.main(["--out", str(tmp_path)])
    for path in (make_scheduler.PAGE, make_scheduler.FIGURE):
        made = (tmp_path / path.name).read_text(encoding="utf-8")
        assert made == path.read_text(encoding="utf-8")


def test_the_figure_scales_values_into_the_frame():
    svg = draw([Line(name="a & b", middle=[10, 5], low=[8, 4], high=[20, 6])], "t")
    # 0…25 over 344 pixels: 10 is 137.6 above the frame's bottom at 380; two steps of 269 pixels.
    assert 'points="321.0,242.4 590.0,311.2"' in svg
    assert "a &amp; b" in svg
