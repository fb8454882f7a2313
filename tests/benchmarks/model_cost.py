"""One decision of the model after so many trials, without playing them."""

import time
from typing import Any
from unittest import mock

import numpy as np

from search.early_stopping.asha import rung_epochs
from search.samplers import gaussian_process
from search.samplers.gp_sampler import choose_candidate
from search.samplers.learning_curves import ObservedTrial
from search.samplers.source import ConfigurationSource
from search.simulation.recorded_curves import Curves
from search.study.proposer import Proposer
from tests.benchmarks.made_space import drawn

TRIALS = (100, 300, 1000, 2000, 5000, 10_000)
LARGEST_UNBOUNDED = 2000
"""Of 10,000 observations the matrices alone would be gigabytes, and a decision some minutes."""

RUNNING = 500
"""Trials under way among them, in which the model believes; at most half."""


def decision(proposer: Proposer, curves: Curves, trials: int, bounded: bool) -> dict[str, Any]:
    """Processor milliseconds of a choice; `bounded` as the search makes it."""
    marks = (*rung_epochs(grace=3, factor=3, epochs=curves.epochs), curves.epochs)
    evidence = _evidence(proposer, curves, trials, marks)
    source = ConfigurationSource(proposer._ask, proposer.baseline_params())
    choose_candidate(
        source, evidence[:20], marks, np.random.default_rng(0)
    )  # the first one imports scipy
    with mock.patch.object(gaussian_process, "CONDITIONED", 500 if bounded else trials):
        began = time.process_time()
        assert choose_candidate(source, evidence, marks, np.random.default_rng(0)) is not None
        return {"value": 1000 * (time.process_time() - began), "trials": trials}


def _evidence(
    proposer: Proposer, curves: Curves, trials: int, marks: tuple[int, ...]
) -> list[ObservedTrial]:
    """Two thirds of each rung's trials ended there; the last ones are running."""
    _, params = drawn(proposer, trials, seed=3)
    rng, made = np.random.default_rng(4), []
    for number, each in enumerate(params):
        row, reached = curves.nearest(each), min(int(rng.geometric(2 / 3)), len(marks))
        under_way = number >= trials - min(RUNNING, trials // 2)
        values = {mark: float(curves.val[row, mark - 1]) for mark in marks[:reached]}
        made.append(
            ObservedTrial(params=each, values={} if under_way else values, running=under_way)
        )
    return made
