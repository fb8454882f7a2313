"""The page of what each parameter does: from the published tables."""

import re

import numpy as np
import pytest

from results.published import make_effects


@pytest.mark.parametrize(("table", "count"), [("demo", 107), ("efficientnet_lite0", 80)])
def test_properties_are_those_of_the_configurations(table: str, count: int) -> None:
    properties, outcomes = make_effects.columns_of(make_effects.CURVES / f"{table}.npz")
    assert {len(each) for each in (*properties.values(), *outcomes.values())} == {count}
    assert set(properties["MixUp"]) == {0.0, 1.0}
    assert properties["learning rate, 10 times as high"].mean() == pytest.approx(0)
    assert ("Cutout" in properties) == (table == "demo")
    names = [name for name in properties if "frozen" in name]
    assert len(names) == (2 if table == "efficientnet_lite0" else 0)
    if names:
        assert np.sum([properties[name] for name in names], axis=0).max() == 1
    assert 40 < outcomes["val_top1"].mean() < 90
    assert 0 < outcomes["gap"].mean() < 60


def test_the_published_page_is_that_of_its_tables() -> None:
    assert make_effects.page(make_effects.CURVES) == make_effects.PAGE.read_text(encoding="utf-8")


def figures(text: str, pattern: str) -> set[tuple[float, ...]]:
    """Effects and their intervals without their signs, the smaller end first."""
    found = [
        [abs(float(each.replace("−", "-"))) for each in match]
        for match in re.findall(pattern, text)
    ]
    return {(value, *sorted(ends)) for value, *ends in found}


def test_the_lessons_figures_are_effects() -> None:
    lessons = make_effects.PAGE.with_name("lessons.md").read_text(encoding="utf-8")
    effects = make_effects.PAGE.read_text(encoding="utf-8")
    number = r"([+−-]?[\d.]+)"
    told = figures(lessons, rf"{number}(?: points)?\s\[{number}…{number}\]")
    known = figures(effects, rf"{number} \[{number}…{number}\]")
    lead_of_a_search = (0.97, 0.77, 1.17)
    assert told - known == {lead_of_a_search}
    assert len(told) >= 10
