"""`search.run` whose workers write down each epoch that they train, on whichever node.

python -m tests.drills.logged_nodes …: the arguments of `search.run`. On each node the variable
`EPOCH_LOG` of the process that starts Ray names the file.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

LOG = "EPOCH_LOG"


def run_trials(*arguments: Any, **more: Any) -> None:
    """`search.tuner.run_trials` with that worker.

    Ray is imported here, once the search has said how, and the worker's class is made here, so that
    it travels to nodes that have no tests.
    """
    from search import tuner
    from search.worker import TrialWorker

    class LoggedWorker(TrialWorker):
        def step(self) -> dict[str, Any]:
            metrics = super().step()
            if "note" not in metrics:
                line = {"trial": self._task["number"], "epoch": metrics["epoch"], "at": time.time()}
                with Path(os.environ["EPOCH_LOG"]).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            return metrics

    tuner.run_trials(*arguments, **more, worker=LoggedWorker)


def trained(log: Path) -> list[dict[str, Any]]:
    """What a node's workers have written down."""
    lines = log.read_text(encoding="utf-8").split("\n")[:-1] if log.exists() else []
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    from search import execute, run

    execute.run_trials = run_trials
    code = run.main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
