"""The page about what priors gain and cost."""

import json
from pathlib import Path

from results.published import make_priors


def searches(path: Path) -> Path:
    """Two tasks; without a prior 4 seeds of regret 0.4 and 0.5 or, with an even seed, 0.1 less."""
    lines: list[dict[str, object]] = [{"commit": "abc"}]
    policies = {"ours": (range(20, 24), 0.0), "ours, right prior 0.5": (range(20, 22), -0.2)}
    for policy, (seeds, gain) in policies.items():
        for task, base in (("a", 0.4), ("b", 0.5)):
            for seed in seeds:
                regret = base + gain - (0.1 if seed % 2 == 0 else 0.0)
                lines.append({"policy": policy, "task": task, "workers": 8, "seed": seed,
                              "regret": [9.0] * 4, "regret_latest": [regret] * 4})  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_prior_s_searches_stand_beside_those_without_it(tmp_path: Path) -> None:
    path = searches(tmp_path / "s.jsonl")
    make_priors.main(["--searches", str(path), "--out", str(tmp_path)])
    page = (tmp_path / "priors.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| right prior 0.5")]
    for row in rows[:3]:
        assert row.startswith("| right prior 0.5 | 4 | 20.0 | -20.0 [-20.0…-20.0] | -20.0 [-2")
    assert rows[3] == "| right prior 0.5 | 15.0 | 25.0 |"
    assert "| ours | 35.0 | 45.0 |" in page
    assert "all 8 searches" in " ".join(page.split())


def test_the_published_page_is_that_of_its_searches(tmp_path: Path) -> None:
    published = make_priors.PAGE.read_text(encoding="utf-8")
    assert make_priors.page(make_priors.SEARCHES) == published
