"""`search.run` whose workers write down each epoch that they train, on whichever node.

python -m tests.drills.logged_nodes …: the arguments of `search.run`. On each node the variable
`EPOCH_LOG` of the process that starts Ray names the file.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results.records import EpochMetrics

LOG = "EPOCH_LOG"


def run_trials(*arguments: Any, **more: Any) -> None:
    """`search.ray_backend.tuner.run_trials` with that worker.

    Ray is imported here, once the search has said how, and the worker's class is made here, so that
    it travels to nodes that have no tests.
    """
    from search.ray_backend import tuner
    from search.ray_backend.worker import TrialWorker

    class LoggedWorker(TrialWorker):
        def setup(self, config: dict[str, Any]) -> None:
            from trainables import train as module

            train = module.train

            def logged(*given: Any, **named: Any) -> "Iterator[EpochMetrics]":
                with closing(train(*given, **named)) as epochs:
                    for metrics in epochs:
                        at = {"epoch": metrics.epoch, "at": time.time()}
                        line = json.dumps({"trial": self._task.training.number} | at)
                        with Path(os.environ["EPOCH_LOG"]).open("a", encoding="utf-8") as file:
                            file.write(line + "\n")
                        yield metrics

            module.train = logged
            super().setup(config)

    tuner.run_trials(*arguments, **more, worker=LoggedWorker)


def trained(log: Path) -> list[dict[str, Any]]:
    """What a node's workers have written down."""
    lines = log.read_text(encoding="utf-8").split("\n")[:-1] if log.exists() else []
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    from search import run
    from search.session import execute

    execute.run_trials = run_trials
    code = run.main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
