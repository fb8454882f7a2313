"""Effects of known functions: found, and told from chance as often as is said."""

import numpy as np
import pytest
from numpy.typing import NDArray

from results.analysis import parameter_effects
from results.analysis.parameter_effects import Effect, effects

TRUE = {"mixup": 0.0, "flip": 3.0, "cutout": -6.0, "head": 8.0, "dropout": 0.0}


def draw(rng: np.random.Generator) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """Eighty configurations, of which some have many properties and some few, as in a search."""
    often = rng.uniform(0.25, 0.75, size=80)
    had = {name: (rng.random(80) < often).astype(np.float64) for name in TRUE}
    outcome = 60 + sum(TRUE[name] * had[name] for name in TRUE) + rng.normal(0, 5, size=80)
    return had, outcome


def test_without_noise_the_effects_are_exact() -> None:
    rng = np.random.default_rng(1)
    had, _ = draw(rng)
    outcome = 60 + sum(TRUE[name] * had[name] for name in TRUE)
    found = effects(had, np.asarray(outcome))
    assert {name: each.value for name, each in found.items()} == pytest.approx(TRUE)
    assert found["head"].low == pytest.approx(8)
    assert found["head"].stands_out


def test_intervals_hold_the_truth_and_chance_seldom_stands_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 100 studies: each interval is one of 95 %, so that about 475 of 500 hold the truth; one
    study in twenty may mark something that does nothing, and effects of 6 and 8 points, five and
    seven standard errors, are marked nearly always."""
    monkeypatch.setattr(parameter_effects, "RESAMPLES", 200)
    rng = np.random.default_rng(2)
    studies: list[dict[str, Effect]] = [effects(*draw(rng)) for _ in range(100)]
    held = [each[n].low <= TRUE[n] <= each[n].high for each in studies for n in TRUE]
    assert 445 <= sum(held) <= 490
    by_chance = [each["mixup"].stands_out or each["dropout"].stands_out for each in studies]
    assert sum(by_chance) <= 10
    for name in ("cutout", "head"):
        assert sum(each[name].stands_out for each in studies) >= 95
