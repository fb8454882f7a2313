"""What short trainings tell, by hand and by chance."""

import numpy as np
import pytest

from results.analysis.screening_worth import (
    FIRST_LOOK,
    LEAST_RELIABILITY,
    ScreeningWorth,
    judge_screening,
)


def judged(accuracies: list[float | None], images: int, planned: int = 0) -> ScreeningWorth | None:
    return judge_screening(dict(enumerate(accuracies)), planned or len(accuracies), images)


def test_reliability_is_the_share_of_the_variance_beyond_chance() -> None:
    """Accuracies of 0.4 and 0.6 in turn vary by 0.2² / 4 · 6 / 5, those of 100 images by 0.0024."""
    worth = judged([0.4, 0.6] * 3, 100)
    assert worth is not None
    assert worth.spread == pytest.approx(0.012**0.5)
    assert worth.chance == pytest.approx(0.0024**0.5)
    assert worth.reliability == pytest.approx(0.8)
    assert worth.useful
    assert worth.describe() == (
        "6 short trainings tell configurations apart: their accuracies spread by 11.0 points, by "
        "chance alone 4.9"
    )
    noisy = judged([0.4, 0.6] * 3, 20)  # chance now varies by 0.012 too
    assert noisy is not None
    assert noisy.reliability == pytest.approx(0.0)
    assert not noisy.useful
    assert "hardly apart" in noisy.describe()


def test_nothing_is_known_before_all_have_ended_or_of_too_few() -> None:
    assert judged([0.1, 0.9] * 5, 100, planned=11) is None
    assert judged([0.1, 0.9, 0.5, 0.4], 100) is None
    assert judged([None] * 10, 100) is None
    five = judged([0.1, 0.9, 0.5, 0.4, 0.8, None, None], 100)
    assert five is not None
    assert five.trainings == 5


def test_equal_accuracies_tell_nothing() -> None:
    worth = judged([0.05] * 20, 100)
    assert worth is not None
    assert (worth.reliability, worth.upper, worth.useful) == (0.0, 0.0, False)


def test_the_first_look_ends_a_screening_that_tells_nothing_whatever_follows() -> None:
    alike: list[float | None] = [0.5, 0.51] * (FIRST_LOOK // 2)
    early = judged(alike, 100, planned=48)
    assert early is not None
    assert not early.useful
    assert early.trainings == FIRST_LOOK
    assert early.upper < LEAST_RELIABILITY
    later = judged([*alike, *[0.1, 0.9] * 16], 100)
    assert later == early  # a resumed search, which has more of them, judges alike
    apart = judged([0.1, 0.9] * (FIRST_LOOK // 2), 100, planned=48)
    assert apart is None


def test_how_often_chance_misleads() -> None:
    """Of screenings of equal configurations, and of such as differ by what real ones do
    (a standard deviation of 6 points around 17 %, 100 images), 2,000 of each.
    """
    rng = np.random.default_rng(0)

    def share_useful(deviation: float) -> float:
        found = 0
        for _ in range(2000):
            true = np.clip(rng.normal(0.17, deviation, 34), 0.01, 0.99)
            worth = judged([float(n) / 100 for n in rng.binomial(100, true)], 100)
            found += worth is not None and worth.useful
        return found / 2000

    assert share_useful(0.0) < 0.005
    assert share_useful(0.06) > 0.85
