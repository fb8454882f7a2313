"""What a page shows of the ranges that were searched."""

from pathlib import Path
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution

from results.analysis.searched_ranges import SearchedRange, read_ranges
from results.page.report_page import page
from results.page.run_data import read_run
from results.page.table import searched
from tests.results.example_search import six

KNOWN = [
    SearchedRange(name="optimizer", distribution=CategoricalDistribution(["adamw", "sgd"])),
    SearchedRange(
        name="lr",
        distribution=FloatDistribution(1e-2, 1.0, log=True),
        condition=({"optimizer": "sgd"},),
    ),
    SearchedRange(
        name="momentum",
        distribution=FloatDistribution(0.5, 0.9, step=0.1),
        condition=({"optimizer": "sgd", "flip": True}, {"optimizer": "adamw", "flip": False}),
    ),
    SearchedRange(name="ema", distribution=FloatDistribution(0.0, 0.9), condition=None, later=True),
]


def entry(since: int = 0) -> dict[str, Any]:
    return {"searched": {"ranges": [each.to_json() for each in KNOWN], "since": since}}


def test_ranges_are_read_as_they_were_written() -> None:
    read = read_ranges(entry())
    assert [(e.name, e.distribution, e.later) for e in read] == [
        (e.name, e.distribution, e.later) for e in KNOWN
    ]
    assert [each.describe() for each in read] == [each.describe() for each in KNOWN]
    assert read_ranges({}) == ()


def test_the_page_shows_ranges_with_their_conditions(tmp_path: Path) -> None:
    run = six(tmp_path / "six", **entry(since=3))
    found = searched(read_run(run))
    assert found.rows == [
        ("optimizer", "one of adamw, sgd", "", "adamw"),
        ("lr", "0.01 … 1, log", "where optimizer is sgd", "0.001"),
        (
            "momentum",
            "0.5 … 0.9, step 0.1",
            "where optimizer sgd and flip True, or optimizer adamw and flip False",
            "–",
        ),
        ("ema", "0 … 0.9", "in some trials", "–"),
    ]
    assert found.notes == ["These are the ranges from trial 3 on; before, they were others."]
    text = page(run)
    assert "<h2>What was searched</h2>" in text
    assert "<tr><th>lr</th><td>0.01 … 1, log</td><td>where optimizer is sgd</td>" in text
    row = "<tr><th>optimizer</th><td>one of adamw, sgd</td><td>always</td><td>adamw</td></tr>"
    assert row in text


def test_a_run_of_before_shows_the_ranges_of_its_journal(tmp_path: Path) -> None:
    found = searched(read_run(six(tmp_path / "six")))
    assert ("momentum", "0.5 … 0.99", "", "–") in found.rows
    assert len(found.rows) == 5
    assert found.notes == ["This run recorded no conditions: a range may depend on a choice."]


def test_the_page_shows_the_priors(tmp_path: Path) -> None:
    manifest = entry()
    manifest["searched"]["priors"] = {"ema": {"value": 0.5, "confidence": 0.25}}
    run = six(tmp_path / "six", **manifest)
    assert searched(read_run(run)).notes == ["Its author's priors: ema 0.5 with confidence 0.25."]
