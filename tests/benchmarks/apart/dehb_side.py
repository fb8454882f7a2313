"""DEHB by its ask and tell, with its defaults: Hyperband's brackets, eta 3."""

import tempfile
from typing import Any

from config_space import configuration_space, plain
from dehb import DEHB
from lines import Training, serve


class Dehb:
    def __init__(self, task: dict[str, Any]) -> None:
        space = configuration_space(task)
        self._folder = tempfile.TemporaryDirectory()
        self._rival = DEHB(
            cs=space,
            dimensions=len(space),
            min_fidelity=1,
            max_fidelity=task["epochs"],
            n_workers=1,  # of its own, which stay unused; it is asked by as many as there are
            seed=task["seed"],
            save_freq="end",
            output_path=self._folder.name,
        )

    def ask(self) -> Training:
        job = self._rival.ask()
        # A fidelity of 51.99…, which is 52 / 3³ · 3³, is 52.
        return job, int(job["config_id"]), plain(job["config"]), float(job["fidelity"]) + 1e-6

    def tell(self, job: Any, loss: float) -> None:
        self._rival.tell(job, {"fitness": loss, "cost": float(job["fidelity"])})


if __name__ == "__main__":
    serve(Dehb)
