import pytest

from search import stopping
from tests.search.curves import metrics


def test_a_loss_that_is_not_finite_diverged():
    assert stopping.diverged([metrics(1, 0.1), metrics(2, 0.1, loss=None)], 20)


@pytest.mark.parametrize(
    ("losses", "diverges"),
    [
        ([3.0, 1.0, 3.5], True),  # 3.5 times the lowest, above ln(20) = 2.996
        ([3.0, 0.5, 2.9], False),  # above three times the lowest, but below chance level
        ([3.0, 2.0, 5.9], False),  # below three times the lowest
        ([8.0], False),  # the first epoch has nothing to compare with
    ],
)
def test_a_loss_that_explodes_diverged(losses, diverges):
    epochs = [metrics(e, 0.1, loss=loss) for e, loss in enumerate(losses, 1)]
    assert bool(stopping.diverged(epochs, 20)) is diverges


def test_overfitting_needs_both_the_gap_and_no_progress():
    rising = [metrics(e, 0.1 * e, gap=0.5) for e in range(1, 6)]
    assert stopping.overfitting(rising, 0.2, 3) is None
    stale = [metrics(1, 0.5, gap=0.5)] + [metrics(e, 0.4, gap=0.5) for e in range(2, 5)]
    assert "gap 0.500 > 0.2" in (stopping.overfitting(stale, 0.2, 3) or "")
    assert stopping.overfitting(stale[:3], 0.2, 3) is None
    small = [metrics(e, 0.5, gap=0.1) for e in range(1, 9)]
    assert stopping.overfitting(small, 0.2, 3) is None


def test_a_plateau_ignores_rises_within_the_noise():
    flat = [metrics(e, 0.5 + 0.0005 * (e % 2)) for e in range(1, 7)]
    assert stopping.plateau(flat, 5)
    assert stopping.plateau(flat, 6) is None
    slow = [metrics(e, 0.5 + 0.001 * e) for e in range(1, 12)]  # adds up to progress
    assert stopping.plateau(slow, 5) is None
