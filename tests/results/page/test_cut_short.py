"""What a page says of a search that was cut short, of its options, and of times."""

from pathlib import Path
from typing import Any

import pytest

from results.page.best_so_far import best_so_far
from results.page.figure import time_unit
from results.page.report_page import page
from results.page.run_data import read_run
from results.page.table import typed_options
from results.records import TrialState
from results.store import RunStore
from tests.results.example_run import Made, make_run
from tests.results.example_search import ADAMW, MANIFEST, RANGES, SIX, six

RESUME = "python -m search.run --resume run --out "


def sessions(**changed: Any) -> list[dict[str, Any]]:
    return [MANIFEST["sessions"][0] | changed]


def test_a_search_that_was_cut_short_says_how_to_go_on(tmp_path: Path) -> None:
    run = six(tmp_path / "run", sessions=sessions(finished=False))
    assert read_run(run).resume == f"{RESUME}{tmp_path}"
    assert f"<pre><code>{RESUME}{tmp_path}</code></pre>" in page(run)
    unfinished = [*SIX, Made(params=ADAMW, values=[0.1], state=TrialState.RUNNING)]
    other = make_run(tmp_path / "other", RANGES, unfinished, 4, MANIFEST)
    assert "--resume other" in read_run(other).resume


def test_a_search_that_has_ended_or_is_running_says_nothing_of_it(tmp_path: Path) -> None:
    for name, changed in (("older", {}), ("ended", {"finished": True})):
        run = six(tmp_path / name, sessions=sessions(**changed))
        assert read_run(run).resume == ""
        assert "Go on with the search" not in page(run)
    store = RunStore(six(tmp_path / "running", sessions=sessions(finished=False)))
    try:
        assert read_run(store.directory).resume == ""
    finally:
        store.close()


def test_options_are_shown_as_a_person_types_them() -> None:
    options = {
        "time_budget": "1h", "min_gain": 0.002, "set": ["lr=0.1", "network=a b"], "out": "",
        "deterministic": True, "tensorboard": False, "finalists": 0, "warm_start": [],
    }  # fmt: skip
    assert typed_options(options) == [
        ("--time-budget", "1h"), ("--min-gain", "0.002"), ("--set", "lr=0.1 'network=a b'"),
        ("--out", "–"), ("--deterministic", "given"), ("--tensorboard", "–"),
        ("--finalists", "–"), ("--warm-start", "–"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "unit"),
    [(0, "seconds"), (120, "seconds"), (121, "minutes"), (7200, "minutes"), (7201, "hours"),
     (3 * 86_400, "hours"), (3 * 86_400 + 1, "days")],
)  # fmt: skip
def test_an_axis_of_times_has_a_unit_that_fits(seconds: float, unit: str) -> None:
    assert time_unit(seconds).name == unit


def test_a_run_of_seconds_is_drawn_in_seconds(tmp_path: Path) -> None:
    figure = best_so_far(read_run(six(tmp_path / "run")))
    assert figure.layout.xaxis.title.text == "seconds of training"
    assert figure.data[0].x[-1] == 13 * 1.5
    assert figure.data[0].customdata[-1][1] == "20 s"
