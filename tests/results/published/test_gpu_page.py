"""The page about GPUs: what is measured, what failed, and what isn't measured yet."""

import json

from results.published import make_gpu

REACHED, MISSED, _, UNMEASURED = make_gpu.GOALS


def figure(name, median, *, unit="×", goal=None, met=None):
    return {
        "name": name, "unit": unit, "goal": goal, "met": met, "n": 3, "median": median,
        "min": median / 2, "max": 2 * median, "values": [median],
    }  # fmt: skip


def measurement(name, part, section, **details):
    return {
        "name": name, "round": 1, "commit": "c" * 40, "part": part, "section": section,
        "uuid": "one", "unit": "ms", "goal": None, "value": 2.0, **details,
    }  # fmt: skip


def card():
    most = {"limit": 0.0, "at_most": True}
    return {
        "command": "python -m tests.benchmarks.gpu.bench_gpu speed",
        "python": "3.12",
        "versions": {"torch": "2.11"},
        "machine": {"cpu": "a core", "cpus": 16, "memory_gib": 128.0},
        "workload": {"card": "A card", "cudnn": 91002, "train": 90000},
        "measurements": [
            measurement("step", "speed", "steps", kernels_ms=0.512, checkout="m2"),
            measurement("batches", "correct", "loaders", places={"a|b": 2}),
        ],
        "figures": [
            figure("step", 2.0, unit="ms"),
            figure("batches", 1.0, unit="batches", goal=most, met=False),
            figure(REACHED, 0.15, met=True),
            figure(MISSED, 0.5, met=False),
            figure("step, times as fast as beside", 1.25),
        ],
        "failures": {"epochs, 1": {"part": "speed", "section": "epochs", "error": "a |\n b"}},
    }


def rows(text, beginning):
    return [line for line in text.splitlines() if line.startswith(beginning)]


def test_the_published_page_is_what_its_measurements_say():
    made = make_gpu.page(make_gpu.read(make_gpu.FOLDER))
    assert make_gpu.PAGE.read_text(encoding="utf-8") == made


def test_without_a_card_every_row_says_so_with_its_command():
    text = make_gpu.page([])
    sections = [(part, name) for part, names in make_gpu.PARTS.items() for name in names]
    assert text.count("not measured yet") == len(make_gpu.GOALS) + len(sections)
    for part, name in sections:
        assert f"| `python -m tests.benchmarks.gpu.bench_gpu {part} --only {name}` |" in text


def test_a_card_has_its_goals_figures_failures_and_gaps():
    text = make_gpu.page([card()])
    assert rows(text, f"| {REACHED} ") == [f"| {REACHED} | ≤ 0.2 × | 0.15 × |"]
    assert rows(text, f"| {MISSED} ") == [f"| {MISSED} | ≥ 0.8 × | 0.5 × (**missed**) |"]
    assert rows(text, f"| {UNMEASURED} ") == [f"| {UNMEASURED} | ≥ 80 % | not measured yet |"]
    assert "## A card\n" in text
    assert "- commit cccccccccccc\n- cudnn 91002, train 90000" in text
    steps = rows(text, "| step")
    assert "| step | 2 ms | 1…4 | 3 |  | kernels_ms 0.512, checkout m2 |" in steps
    assert "| step, times as fast as beside | 1.25 × | 0.625…2.5 | 3 |  |  |" in steps
    assert rows(text, "| batches ") == [
        "| batches | 1 batches | 0.5…2 | 3 | ≤ 0 batches, **missed** | places {'a/b': 2} |"
    ]
    assert rows(text, "| epochs, 1 ") == ["| epochs, 1 | **failed** | | | | a / b |"]
    assert "| what would make a step faster | not measured yet |" in text


def test_each_card_has_a_column_among_the_goals(tmp_path):
    for name in ("b", "a"):
        one = card() | {"workload": {"card": f"Card {name}"}}
        (tmp_path / f"{name}.json").write_text(json.dumps(one), encoding="utf-8")
    make_gpu.main(["--cards", str(tmp_path), "--out", str(tmp_path / "gpu.md")])
    text = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert "| figure | goal | Card a | Card b |" in text
    assert "| ≤ 0.2 × | 0.15 × | 0.15 × |" in text
