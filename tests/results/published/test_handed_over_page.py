"""The page about what a search hands over."""

import json
from pathlib import Path

from results.published import make_handed_over


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
    make_handed_over.main(["--searches", str(path), "--out", str(tmp_path)])
    rows = (tmp_path / "handed-over.md").read_text(encoding="utf-8").splitlines()
    latest, highest, difference, counts = rows[-5:-1] if rows[-1] == "" else rows[-4:]
    # (0.4 · 5 + 0.2 + 0.5 · 5 + 0.3) / 12 = 0.41667
    assert highest.startswith("| highest value of any epoch | 41.67 [")
    assert latest.startswith("| highest latest value | 36.67 [")
    assert difference == "| difference |" + " -5.00 [-5.00…-5.00] |" * 3
    assert counts == "| better, worse, p |" + " 12, 0, 0.00049 |" * 3  # 2 / 2^12


def test_equal_rules_differ_by_nothing(tmp_path: Path) -> None:
    path = searches(tmp_path / "s.jsonl", latest=0.0)
    page = make_handed_over.page(path)
    assert "| better, worse, p |" + " 0, 0, 1 |" * 3 in page
