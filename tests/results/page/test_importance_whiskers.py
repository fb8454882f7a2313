"""Tests that the importance figure's whiskers stay where a share can be."""

import pytest

from results.importance import Comparison, Importance
from results.page.importance import importance


def test_whiskers_end_at_0_and_100_per_cent() -> None:
    found = {
        "momentum": Importance(share=0.89, spread=0.37, above_noise=False),
        "lr": Importance(share=0.09, spread=0.29, above_noise=True),
        "decay": Importance(share=0.5, spread=0.2, above_noise=True),
    }
    (dots,) = importance([Comparison(epoch=1, trials=24, parameters=found)]).data
    assert dots.error_x.symmetric is False
    assert list(dots.error_x.array) == pytest.approx([0.11, 0.29, 0.2])
    assert list(dots.error_x.arrayminus) == pytest.approx([0.37, 0.09, 0.2])
