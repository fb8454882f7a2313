"""Tests that the importance figure's whiskers are the intervals."""

import pytest

from results.analysis.explained_variance import Importance
from results.importance import Comparison
from results.page.importance import importance


def test_whiskers_end_where_the_intervals_do() -> None:
    found = {
        "lr": Importance(share=0.6, low=0.3, high=0.8),
        "momentum": Importance(share=0.1, low=0.0, high=0.4),
    }
    (dots,) = importance([Comparison(epoch=1, trials=24, parameters=found)]).data
    assert dots.error_x.symmetric is False
    assert list(dots.error_x.array) == pytest.approx([0.2, 0.3])
    assert list(dots.error_x.arrayminus) == pytest.approx([0.3, 0.1])
    assert dots.marker.symbol == ("circle", "circle-open")
