"""NePS' PriorBand by its ask and tell, with its defaults: Hyperband's brackets, eta 3."""

from typing import Any

import neps
import numpy as np
import torch
from lines import Training, serve

FIDELITY = "epochs"


class PriorBand:
    """Its ids are `CONFIGURATION_rung_RUNG`, and all its randomness is numpy's and torch's own."""

    def __init__(self, task: dict[str, Any]) -> None:
        np.random.seed(task["seed"])
        torch.manual_seed(task["seed"])
        prior = task["prior"] or {}
        space = neps.SearchSpace(
            {name: _parameter(each, prior.get(name)) for name, each in task["space"].items()}
            | {FIDELITY: neps.HPOInteger(1, task["epochs"], is_fidelity=True)}
        )
        self._rival = neps.AskAndTell(neps.algorithms.priorband(space))

    def ask(self) -> Training:
        job = self._rival.ask()
        params = dict(job.config)
        until = params.pop(FIDELITY)
        return job, job.id.partition("_")[0], params, until

    def tell(self, job: Any, loss: float) -> None:
        self._rival.tell(job, loss)


def _parameter(each: dict[str, Any], prior: Any) -> Any:
    belief = {} if prior is None else {"prior": prior, "prior_confidence": "medium"}
    if "choices" in each:
        return neps.HPOCategorical(each["choices"], **belief)
    kind = neps.HPOInteger if each["whole"] else neps.HPOFloat
    return kind(each["low"], each["high"], log=each["log"], **belief)


if __name__ == "__main__":
    serve(PriorBand)
