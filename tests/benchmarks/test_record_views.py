"""The comparison of trainings with fixed versions of each image and those without."""

import re

import numpy as np
import pytest

from results.analysis.curve_table import Recording
from tests.benchmarks.record_views import compare


def training(row: int, end: float, seed: int = 0) -> dict[str, object]:
    """A recorded training of two epochs of 10 s each."""
    curves = {"val_top1": [0.1, end], "cpu_s": [10.0, 10.0]}
    return {"row": row, "seed": seed, "fidelity": "full", "curves": curves, "cool_down": []}


def test_equal_orders_are_told_with_what_they_cost() -> None:
    ends = np.linspace(0.2, 0.8, 13)
    recorded = [training(row, end) for row, end in enumerate(ends)]
    recorded += [training(row, 1 - ends[row], seed=1) for row in range(13)]
    table = Recording(headers=[], trainings=recorded)  # type: ignore[arg-type]
    lines = [
        {"row": row, "seed": 0, "val_top1": [0.1, end - 0.02], "cpu_s": 5.0}
        for row, end in enumerate(ends)
    ]
    told = list(compare(lines, table))
    assert told[0].startswith("13 configurations, views=4")
    assert told[1] == "rank correlation 1.00 [1.00…1.00]"
    assert told[2] == "of 13 other seeds -1.00 [-1.00…-1.00]"
    gained = re.findall(r"-?\d+\.\d+", told[3])
    assert [float(each) for each in gained] == pytest.approx([-2.0, -2.0, -2.0])
    assert told[4] == "without views, the best one by views ends at 0.800, and the best at 0.800"
    assert told[5] == "seconds, as a share of those without: median 0.25"
