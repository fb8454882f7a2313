"""The page of published measurements: made from the JSON files, and up to date."""

import json

from results.published import make_performance as performance


def figure(name, value, *, goal=None, met=None):
    return {
        "name": name, "unit": "s", "goal": goal, "met": met, "n": 3, "median": value,
        "min": value / 2, "max": 2 * value, "values": [value / 2, value, 2 * value],
    }  # fmt: skip


def report(name, *figures):
    return {
        "benchmark": name,
        "command": f"python -m tests.benchmarks.bench_{name} --rounds 3",
        "python": "3.11.2",
        "versions": {"ray": "2.60.0"},
        "commit": "c" * 40,
        "machine": {"cpu": "A CPU", "cpus": 2, "memory_gib": 24.0, "gpus": [], "system": "Linux"},
        "workload": {"source": "a.zip", "classes": 20},
        "measurements": [{"commit": "a" * 40}, {"commit": "b" * 40 + "-dirty"}],
        "figures": list(figures),
    }


def test_the_published_page_is_what_its_measurements_say():
    made = performance.page(performance.read(performance.BENCHMARKS))
    assert performance.PAGE.read_text(encoding="utf-8") == made
    assert all(f"| {words} | " in made for words, _, _ in performance.LEVERS)


def test_a_goal_is_shown_with_its_figure_and_whether_it_is_met():
    limit = {"limit": 15, "at_most": True}
    text = performance.page(
        [
            report("start", figure("quick", 12.34, goal=limit, met=True)),
            report("data", figure("slow", 1234.5, goal=limit, met=False), figure("other", 0.0123)),
        ]
    )
    goals, _, details = text.partition("## start")
    assert "| quick | ≤ 15 s | 12.3 s | 6.17…24.7 | 3 | met |" in goals
    assert "| slow | ≤ 15 s | 1,234 s | 617…2,469 | 3 | **missed** |" in goals
    assert "other" not in goals
    assert "| other | 0.0123 s | 0.00615…0.0246 | 3 |" in details
    assert "`python -m tests.benchmarks.bench_start --rounds 3`" in details
    assert f"commit {'a' * 12}, {'b' * 12}-dirty" in details
    assert "A CPU, 2 cores used, 24 GiB, Linux" in details


def test_each_lever_stands_alone_as_far_as_it_was_measured():
    words, name, wanted = performance.LEVERS[2]
    text = performance.page([report(name, figure(wanted, 0.09), figure("other", 1.0))])
    _, _, levers = text.partition("each lever alone")
    assert f"| {words} | 0.09 s | 0.045…0.18 | 3 |" in levers.partition(f"## {name}")[0]
    assert levers.partition(f"## {name}")[0].count("\n| ") == 2  # the head, and this one
    assert "each lever alone" not in performance.page([report("start", figure("other", 1.0))])


def test_files_are_read_in_the_pages_order(tmp_path):
    for name in ("data", "search", "another"):
        (tmp_path / f"{name}.json").write_text(
            json.dumps(report(name, figure("one", 1.0))), encoding="utf-8"
        )
    names = [each["benchmark"] for each in performance.read(tmp_path)]
    assert names == ["search", "data", "another"]
    performance.main(["--benchmarks", str(tmp_path), "--out", str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == performance.page(
        performance.read(tmp_path)
    )


def test_without_measurements_the_page_says_so(tmp_path):
    assert "Nothing has been measured yet" in performance.page(performance.read(tmp_path))
