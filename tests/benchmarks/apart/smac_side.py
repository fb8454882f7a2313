"""SMAC's multi-fidelity facade by its ask and tell, with its defaults: Hyperband's brackets, eta 3,
and a random forest.
"""

import tempfile
from pathlib import Path
from typing import Any

from config_space import configuration_space, plain
from lines import Training, serve
from smac import MultiFidelityFacade, Scenario
from smac.runhistory.dataclasses import TrialValue


class Smac:
    def __init__(self, task: dict[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            configuration_space(task),
            output_directory=Path(self._folder.name),
            deterministic=True,
            n_trials=100_000,  # the simulated budget ends a search, not this
            min_budget=1,
            max_budget=task["epochs"],
            seed=task["seed"],
        )
        self._rival = MultiFidelityFacade(scenario, _never, overwrite=True)

    def ask(self) -> Training:
        job = self._rival.ask()
        return job, tuple(job.config.get_array().tolist()), plain(job.config), job.budget + 1e-6

    def tell(self, job: Any, loss: float) -> None:
        self._rival.tell(job, TrialValue(cost=loss), save=False)


def _never(config: Any, seed: int, budget: float) -> float:
    """SMAC wants to know what it would call itself."""
    raise NotImplementedError


if __name__ == "__main__":
    serve(Smac)
