"""What a page says of a search that was cut short, of its options, times and scales."""

import re
from pathlib import Path
from typing import Any

import pytest

from results.page import comparison
from results.page.best_so_far import best_so_far
from results.page.figure import time_unit
from results.page.parameters import parameters
from results.page.report_page import page
from results.page.run_data import read_run
from results.page.table import provenance, typed_options
from results.records import TrialState
from results.store import RunStore
from tests.results.example_run import Made, make_run
from tests.results.example_search import ADAMW, MANIFEST, RANGES, SIX, many, six

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


def test_sessions_have_one_clock_which_is_named(tmp_path: Path) -> None:
    run = six(tmp_path / "run", sessions=[*sessions(), *sessions(ended=None)])
    rows = dict(provenance(read_run(run).manifest))
    command = "python -m search.run --space resnet18"
    assert rows["session 1"] == f"2026-11-22 05:00 to 2026-11-22 06:30 (UTC): {command}"
    assert rows["session 2"] == f"2026-11-22 05:00 to not ended (UTC): {command}"


def test_a_scale_of_colours_is_in_per_cent_as_the_axes_are(tmp_path: Path) -> None:
    panels = parameters(read_run(many(tmp_path / "many", 40))).panels
    scales = [
        each.figure.data[1].marker.colorbar.ticktext
        for each in panels
        if each.key.startswith("pair")
    ]
    assert scales
    for lowest, *between, highest in scales:
        assert re.fullmatch(r"min\. \d+\.\d %", lowest)
        assert re.fullmatch(r"max\. \d+\.\d %", highest)
        values = [float(each.removesuffix(" %")) for each in between]
        assert len(values) == 3
        assert float(lowest[5:-2]) <= values[0] <= values[1] <= values[2] <= float(highest[5:-2])


def test_epochs_of_short_runs_are_whole_on_a_comparison(tmp_path: Path) -> None:
    runs = [read_run(six(tmp_path / name)) for name in ("a", "b")]
    assert comparison.winners(runs).layout.xaxis.dtick == 1
