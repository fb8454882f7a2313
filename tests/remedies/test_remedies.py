"""Every error that a user can mend has a case that raises it and does what its sentence advises."""

import importlib
from functools import cache
from pathlib import Path

import pytest

from datasets.prepare import prepare
from datasets.registry import find_dataset
from tests.remedies.harness import CASES, Case, Steps, run_case
from tests.remedies.places import find_places, places_of

HERE = Path(__file__).parent

for file in sorted(HERE.glob("cases_*.py")):
    importlib.import_module(f"tests.remedies.{file.stem}")

NO_ERRORS = {
    "datasets/census/code_pages.py::describe_code_page": "a remark on a guessed encoding",
    "results/live/access.py::cookie": "a header of HTTP",
    "results/live/server.py::_send": "a header of HTTP",
    "search/planning/warm_start.py::describe_earlier_runs": "a note about a warm start",
    "search/security.py::how_to_enter_cluster": "a note about the dashboard",
}
"""These functions return sentences that look like errors and are none: where and why."""

places = cache(lambda: [place for place in find_places() if place.where not in NO_ERRORS])


@pytest.mark.parametrize("each", CASES, ids=lambda each: each.name)
def test_the_remedy_works_on_the_input_that_raised_the_error(
    each: Case, request: pytest.FixtureRequest
) -> None:
    code = each.steps.__code__
    names = code.co_varnames[: code.co_argcount]
    fixtures = {name: request.getfixturevalue(name) for name in names}
    run_case(each, each.places(places()), fixtures)


def test_every_place_has_a_case() -> None:
    covered = {place for each in CASES for place in each.places(places())}
    assert [str(place) for place in places() if place not in covered] == []
    assert len({each.name for each in CASES}) == len(CASES)


def test_what_is_no_error_is_still_there() -> None:
    assert {place.where for place in find_places()} >= NO_ERRORS.keys()


def test_places_of_every_kind_are_found_and_none_of_python_s_own_errors() -> None:
    found = {str(place) for place in places()}
    assert "datasets/spec.py::check_options: workers must lie in 1…{}, but got workers={}." in found
    assert "datasets/sources/folder.py::list_samples: DatasetError(faults)" in found
    assert "trainables/training/checkpoint.py::_read: _damage_error(path)" in found
    assert "trainables/final.py::_positive: must be ≥ 1, but got {}" in found
    assert "trainables/config.py::_value_errors: must be > 0" in found
    assert not any("ray_backend/task.py" in place for place in found)
    assert len(found) > 300


def test_a_false_remedy_a_missing_error_and_another_place_fail(tmp_path: Path) -> None:
    """The harness itself is tried on cases that must fail."""
    known = places_of(Path("datasets/registry.py"))

    def run(steps: Steps, where: str = "datasets/registry.py::find_dataset") -> None:
        each = Case(name="tried", wanted=((where, ""),), steps=lambda: steps)
        run_case(each, each.places(known), {})

    def tried(first: str, then: str) -> Steps:
        yield lambda: find_dataset(first)
        return lambda: find_dataset(then)

    def elsewhere() -> Steps:
        yield lambda: prepare("demo", data=tmp_path, workers=0)
        return None

    run(tried("dmeo", "demo"))
    with pytest.raises(AssertionError, match=r"leaves\n *'demi' is no dataset"):
        run(tried("dmeo", "demi"))
    with pytest.raises(AssertionError, match="must raise its error"):
        run(tried("demo", "demo"))
    with pytest.raises(AssertionError, match="isn't where this comes from"):
        run(elsewhere())
    with pytest.raises(AssertionError, match="must have one place"):
        run(tried("dmeo", "demo"), "datasets/registry.py::gone")
