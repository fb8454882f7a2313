"""The page about what a search hands over."""

import json
from pathlib import Path

from results.published import make_handed_over
from tests.results.recorded_table import trained, write


def searches(path: Path, latest: float) -> Path:
    """Two tasks, six seeds: regret by the highest value is 0.4 and 0.5, or once 0.2 lower."""
    lines: list[dict[str, object]] = [{"commit": "abc"}]
    for task, base in (("a", 0.4), ("b", 0.5)):
        for seed in range(20, 26):
            regret = base - (0.2 if seed == 20 else 0.0)
            lines.append(
                {"policy": "ours", "task": task, "workers": 8, "seed": seed,
                 "regret": [regret] * 4, "regret_latest": [regret - latest] * 4}
            )  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_both_rules_stand_below_each_other_with_their_difference(tmp_path: Path) -> None:
    path = searches(tmp_path / "s.jsonl", latest=0.05)
    own = searches(tmp_path / "own.jsonl", latest=0.0)
    make_handed_over.main(
        ["--searches", str(path), "--own", str(own), "--tables", str(tmp_path),
         "--out", str(tmp_path)]
    )  # fmt: skip
    text = (tmp_path / "handed-over.md").read_text(encoding="utf-8")
    theirs, ours = text.split("## On our own recorded tables")
    latest, highest, difference, counts = theirs.strip().splitlines()[-4:]
    # (0.4 · 5 + 0.2 + 0.5 · 5 + 0.3) / 12 = 0.41667
    assert highest.startswith("| highest value of any epoch | 41.67 [")
    assert latest.startswith("| highest latest value | 36.67 [")
    assert difference == "| difference |" + " -5.00 [-5.00…-5.00] |" * 3
    assert counts == "| better, worse, p |" + " 12, 0, 0.00049 |" * 3  # 2 / 2^12
    assert "| better, worse, p |" + " 0, 0, 1 |" * 3 in ours  # rules of equal regret


def test_another_seed_is_stopped_where_the_first_was_best(tmp_path: Path) -> None:
    """Seed 0 is best in epoch 1, where seed 1 lacks 20 points; seed 1 is best in epoch 9, where
    seed 0 has what it has at the end. Seed 0 once had 10 points more than at its end.
    """
    rows = [
        training
        for row in (0, 1)
        for training in (trained(row, early=0.6), trained(row, seed=1, early=0.3))
    ]
    diverged = [trained(3), trained(3, seed=1, end=float("nan"))]
    write(tmp_path / "made.npz", [*rows, trained(2, early=0.9), *diverged])
    write(tmp_path / "one-seed.npz", [trained(0), trained(1)])
    own = searches(tmp_path / "own.jsonl", latest=0.0)
    lines = make_handed_over.page(own, own, tmp_path).splitlines()
    assert [line for line in lines if line.startswith("| `")] == [
        "| `made` | 2 | -10.00 [-10.00…-10.00] | +5.00 [+5.00…+5.00] |"
    ]


def test_the_published_page_is_that_of_its_searches_and_tables() -> None:
    published = make_handed_over.PAGE.read_text(encoding="utf-8")
    page = make_handed_over.page(
        make_handed_over.SEARCHES, make_handed_over.OWN_SEARCHES, make_handed_over.TABLES
    )
    assert page == published
