"""`search.run` whose workers write down each epoch that they train, and save after each.

python -m tests.search.search_with_epoch_log LOG SECONDS …: LOG is the file, SECONDS the least time
between two checkpoints; the arguments of `search.run` follow.
"""

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from search import run
from search.ray_backend.task import EpochReport, read_report
from search.ray_backend.worker import TrialWorker

LOG, SECONDS = "LOGGED_SEARCH", "LOGGED_SEARCH_SECONDS"


class LoggedWorker(TrialWorker):
    def setup(self, config: dict[str, Any]) -> None:
        from trainables.training import checkpoint_writer

        checkpoint_writer.SAVE_EVERY_S = float(os.environ[SECONDS])
        super().setup(config)

    def step(self) -> dict[str, Any]:
        result = super().step()
        report = read_report(result)
        assert isinstance(report, EpochReport)
        line = {
            "trial": self._task.training.number,
            "epoch": report.metrics.epoch,
            "process": os.getpid(),
        }
        with Path(os.environ[LOG]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return result


def trained(log: Path) -> list[tuple[int, int]]:
    """(trial, epoch) of every epoch that a worker ended, in order, repeats included."""
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    return [(line["trial"], line["epoch"]) for line in lines]


def main(log: str, seconds: str, *arguments: str) -> int:
    os.environ |= {LOG: log, SECONDS: seconds}
    from search.session import execute

    execute.run_trials = partial(execute.run_trials, worker=LoggedWorker)  # type: ignore[assignment]
    return run.main(list(arguments))


if __name__ == "__main__":
    from tests.search import search_with_epoch_log  # workers find `LoggedWorker` by that name

    code = search_with_epoch_log.main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
