"""Defines the policies that decide simulated searches: the study of a real search, and the plain
policies that it is compared with.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from optuna.storages import InMemoryStorage

from results.analysis.searched_ranges import Prior
from results.records import EpochMetrics
from search.early_stopping.decision import Rules
from search.samplers.gp_sampler import GaussianProcessSampler
from search.samplers.random_sampler import make_random_sampler
from search.samplers.source import MakeSampler
from search.simulation.points import Point, PointProposer
from search.simulation.recorded_curves import Curves
from search.simulation.row_source import make_row_sampler
from search.simulation.screened_study import ScreenedStudy
from search.study.proposer import Proposal
from search.study.store import MemoryStore
from search.study.study import Study


class Policy(Protocol):
    """Decides a simulated search: it proposes trials and ends them. `search.study.study.Study`
    fulfils this protocol as it is.
    """

    def ask(self) -> Proposal[Point] | None:
        """Returns a trial for a free worker: a new one, or one that paused after `epochs_done`
        epochs.

        Returns `None` when there is no trial for now; the policy is asked again after the next
        epoch.
        """

    def report(self, number: int, metrics: EpochMetrics) -> object:
        """Records an epoch of trial `number`. Returns `None` when the trial continues; anything
        else frees its worker.
        """


def gaussian_process_asha(curves: Curves, rules: Rules, seed: int) -> Policy:
    """Returns a study as `search.run` makes one, with the Gaussian-process sampler and all rules,
    but in memory and on recorded curves, whose short trainings come first where that is asked for.
    """
    if not curves.screening:
        return study_of(curves, rules, seed, GaussianProcessSampler)
    return ScreenedStudy(curves, rules, PointProposer(curves, seed))


def random_asha(curves: Curves, rules: Rules, seed: int) -> Study[Point]:
    """Returns a study of random configurations, which only the rungs stop."""
    make = make_row_sampler if curves.only_rows else make_random_sampler
    return study_of(curves, rules.only_rungs(), seed, make)


def random_search(curves: Curves, rules: Rules, seed: int) -> Study[Point]:
    """Returns a study of random configurations, each of which is trained to its last epoch."""
    return random_asha(curves, replace(rules, grace=rules.epochs), seed)


def study_of(
    curves: Curves,
    rules: Rules,
    seed: int,
    make: MakeSampler,
    priors: Mapping[str, Prior] | None = None,
) -> Study[Point]:
    """Returns a study in memory whose configurations come from `make`'s samplers, which know the
    `priors`, and whose trials end by `rules`.
    """
    proposer = PointProposer(curves, seed, make, priors)
    return Study(
        proposer=proposer,
        rules=rules,
        trials=proposer.trials,
        store=MemoryStore(),
        storage=InMemoryStorage(),
    )


MakePolicy = Callable[[Curves, Rules, int], Policy]
"""A function of this type makes a new policy from (curves, rules, seed)."""

POLICIES: dict[str, MakePolicy] = {
    "ours": gaussian_process_asha,
    "random + ASHA": random_asha,
    "random": random_search,
}
"""The command `search.simulate` knows these policies by their names."""
