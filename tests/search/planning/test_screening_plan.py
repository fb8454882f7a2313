"""How short trainings are planned, by the space and the data."""

import pytest

from search.hardware.calibration import Measurement
from search.monitoring.plans.cost_text import describe_cost, describe_screening
from search.monitoring.plans.plan_text import show_plan
from search.planning.cost_estimate import training_speed
from search.planning.screening import ScreeningPlan, plan_screening
from tests.search.planning.test_plan import plan_of

pytestmark = pytest.mark.usefixtures("plan_quickly")


def test_a_short_training_sees_as_little_as_still_teaches(tmp_path):
    """The baseline of demo: 64 px, batches of 32."""
    plan = plan_of(tmp_path, epochs=30, fidelity="screening")
    assert plan_screening(plan, 100_000, 200) == ScreeningPlan(
        count=48, epochs=3, images=0.25, size=0.5, cost=pytest.approx(1.5 * 3 / 30 / 4 / 4)
    )
    half = plan_screening(plan, 5_000, 200)  # a quarter would have 6 images of each class
    assert isinstance(half, ScreeningPlan)
    assert (half.images, half.cost, half.count) == (0.5, pytest.approx(1.5 * 3 / 30 / 2 / 4), 48)
    few = plan_screening(plan, 400, 4)  # half has two of the six steps that it needs
    assert isinstance(few, ScreeningPlan)
    assert few.images == 0.5
    whole = plan_screening(plan, 200, 4)
    assert isinstance(whole, ScreeningPlan)
    assert (whole.images, whole.count) == (1.0, 26)


def test_images_that_are_small_already_keep_their_size(tmp_path):
    plan = plan_of(tmp_path, epochs=30, set=["image_size=32"], fidelity="screening")
    found = plan_screening(plan, 100_000, 200)
    assert isinstance(found, ScreeningPlan)
    assert (found.size, found.count) == (1.0, 26)


def test_there_is_none_where_short_trainings_cost_too_much(tmp_path):
    plan = plan_of(tmp_path, epochs=5, set=["image_size=32"], fidelity="screening")
    why = plan_screening(plan, 200, 4)
    assert why == (
        "none: 12 short trainings, of 3 epochs on 1 of the images, would cost 11 full ones, and "
        "may cost 1"
    )
    assert describe_screening(why) == why


def test_it_takes_a_fifth_of_the_time_at_most_as_far_as_that_is_known(tmp_path):
    """Two trials at once, each of 30 epochs of 3,000 images at 200 images/s: 480 s with
    the evaluation of 600 images. A short one costs 0.0094 of that, and a fifth of three minutes,
    twice, is 0.15 of a full training.
    """
    asked = {"epochs": 30, "fidelity": "screening", "concurrency": 2, "precision": "float32"}

    def count(budget, rate):
        plan = plan_of(tmp_path, time_budget=budget, **asked)
        measured = Measurement(precision="float32", images_per_s={"float32": rate})
        found = plan_screening(plan, 3_000, 20, training_speed(plan, 3_000, measured))
        return found.count if isinstance(found, ScreeningPlan) else found

    assert count("2h", 200) == 48
    assert count("3m", 200) == 15
    assert count("6m", 100) == 15
    assert str(count("1m", 200)).endswith("would cost 0.11 full ones, and may cost 0.05")
    plan = plan_of(tmp_path, time_budget="2m", **asked)
    assert isinstance(plan_screening(plan, 3_000, 20), ScreeningPlan)  # no speed is known


def test_it_is_asked_for_and_told_before_the_search_with_its_cost(tmp_path, capsys):
    plan = plan_of(tmp_path, epochs=30, fidelity="screening")
    planned = plan_screening(plan, 100_000, 200)
    assert isinstance(planned, ScreeningPlan)
    alone = float(describe_cost(plan, None, None).split()[1])
    assert float(describe_cost(plan, None, None, planned).split()[1]) == alone + 14  # 48 · 0.28
    show_plan(plan, None, None, None, [], plan_screening(plan, None, 0))
    text = " ".join(capsys.readouterr().out.split())
    assert "before short trainings of many configurations, planned once the dataset is" in text
    assert describe_screening(planned) == (
        "48 configurations for 3 epochs on 0.25 of the images at 0.5 of their size, 0.45 full "
        "trainings in all, and the best 4 are tried first"
    )
    assert len(plan.preview) == 2  # baseline and prior; the others follow from short trainings
    assert plan_screening(plan_of(tmp_path, epochs=30), 100_000, 200) is None
    assert describe_screening(None) == ""
