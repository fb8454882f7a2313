"""How short trainings are planned, by the space and the data."""

import pytest

from datasets.manifest import FILE_NAME
from search.monitoring.cost_text import describe_cost
from search.monitoring.plan_text import show_plan
from search.planning.screening import describe_screening, find_screening, plan_screening
from search.study.screening import ScreeningPlan
from tests.search.planning.test_plan import plan_of

pytestmark = pytest.mark.usefixtures("plan_quickly")


def test_a_short_training_sees_as_little_as_still_teaches(tmp_path):
    """The baseline of demo: 64 px, batches of 32."""
    plan = plan_of(tmp_path, epochs=30)
    assert plan_screening(plan, 100_000, 200) == ScreeningPlan(
        count=48, epochs=3, images=0.25, size=0.5, cost=pytest.approx(3 / 30 / 4 / 4)
    )
    half = plan_screening(plan, 5_000, 200)  # a quarter would have 6 images of each class
    assert isinstance(half, ScreeningPlan)
    assert (half.images, half.cost, half.count) == (0.5, pytest.approx(3 / 30 / 2 / 4), 48)
    few = plan_screening(plan, 400, 4)  # half has two of the six steps that it needs
    assert isinstance(few, ScreeningPlan)
    assert few.images == 0.5
    whole = plan_screening(plan, 200, 4)
    assert isinstance(whole, ScreeningPlan)
    assert (whole.images, whole.count) == (1.0, 40)


def test_images_that_are_small_already_keep_their_size(tmp_path):
    plan = plan_of(tmp_path, epochs=30, set=["image_size=32"])
    found = plan_screening(plan, 100_000, 200)
    assert isinstance(found, ScreeningPlan)
    assert (found.size, found.count) == (1.0, 40)


def test_there_is_none_where_short_trainings_cost_too_much(tmp_path):
    plan = plan_of(tmp_path, epochs=5, set=["image_size=32"], fidelity="screening")
    why = plan_screening(plan, 200, 4)
    assert why == (
        "none: a short training, of 3 epochs on 1 of the images, would cost 0.6 of a full one, and "
        "12 of them more than one"
    )
    assert describe_screening(plan, 200, 4) == why
    assert find_screening(plan, 200, 4) is None


def test_it_is_asked_for_and_told_before_the_search_with_its_cost(tmp_path, capsys):
    plan = plan_of(tmp_path, epochs=30, fidelity="screening")
    planned = find_screening(plan, 100_000, 200)
    assert isinstance(planned, ScreeningPlan)
    alone = float(describe_cost(plan, None, None).split()[1])
    assert float(describe_cost(plan, None, None, planned).split()[1]) == alone + 9  # 48 · 0.19
    assert find_screening(plan, None, 0) is None
    assert not (plan.data / FILE_NAME).exists()
    show_plan(plan, None, None, None, [])
    text = " ".join(capsys.readouterr().out.split())
    assert "before short trainings of many configurations, planned once the dataset is" in text
    assert describe_screening(plan, 100_000, 200) == (
        "48 configurations for 3 epochs on 0.25 of the images at 0.5 of their size, 0.3 full "
        "trainings in all, and the best 4 are tried first"
    )
    other = plan_of(tmp_path, epochs=30)
    assert describe_screening(other, 100_000, 200) == ""
    assert find_screening(other, 100_000, 200) is None
