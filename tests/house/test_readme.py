"""README: short, with figures that were measured, and the folders that there are."""

import re

from tests.house.pages import ROOT, blocks, tables

README = ROOT / "README.md"
PUBLISHED = ROOT / "results" / "published"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
MOST_WORDS = 1100


def test_it_is_short():
    assert len(re.findall(r"\w+", README.read_text(encoding="utf-8"))) <= MOST_WORDS


def test_every_figure_in_the_results_was_published():
    """Those of a column of values, each as it stands on the page of its table."""
    accuracy = tables(README, "space and data", "time", "test, baseline", "test, winner")
    assert len(accuracy) >= 5
    for _, *values in accuracy:
        assert_published(" ".join(values), "accuracy.md")
    figures = tables(README, "figure", "value", "n")
    assert len(figures) >= 5
    for _, value, _ in figures:
        assert_published(value, "performance.md", "scheduler.md", "gpu.md")


def assert_published(text, *pages):
    known = " ".join((PUBLISHED / page).read_text(encoding="utf-8") for page in pages)
    for number in re.findall(r"\d+(?:\.\d+)?", text):
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\.?\d)", known), (text, pages)


def test_the_versions_of_the_results_are_the_tested_ones():
    named = re.findall(
        r"\b(Ray|Optuna|torch|FFCV) (\d[\d.]*\d)", README.read_text(encoding="utf-8")
    )
    assert {name for name, _ in named} == {"Ray", "Optuna", "torch", "FFCV"}
    pins = dict(
        re.findall(
            r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M
        )
    )
    for name, version in named:
        assert pins[name.lower()] == version


def rooms(path):
    """The folders of a page's tree, two deep, as `search/` and `search/spaces/`."""
    tree = next(body for body in blocks(path, "text") if "common/" in body)
    found, top = set[str](), ""
    for line in tree.splitlines():
        name = line.split()[0]
        top = name if line[0] != " " else top
        found |= {name} if line[0] != " " else {top + name}
    return found | ({"docs/", "tests/"} if "docs/  tests/" in tree else set())


def test_both_trees_name_the_same_folders():
    assert rooms(README) == rooms(ARCHITECTURE)
    assert len(rooms(README)) >= 25


def test_the_tree_is_that_of_the_source():
    named = rooms(README)
    assert [name for name in named if not (ROOT / name).is_dir()] == []
    tops = [name for name in named if name.count("/") == 1 and name not in ("docs/", "tests/")]
    packages = {
        f"{path.parent.relative_to(ROOT)}/"
        for top in tops
        for path in (ROOT / top).glob("*/__init__.py")
    }
    assert packages <= named
