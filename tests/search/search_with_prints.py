"""`search.run` whose network prints, and whose trial 1 takes its worker down once.

python -m tests.search.search_with_prints …: the arguments of `search.run` follow.
"""

import os
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from search import run
from search.ray_backend.worker import TrialWorker

CRASHES = 1
"""The worker of the trial with this number dies in its second epoch, once."""


class PrintingWorker(TrialWorker):
    def setup(self, config: dict[str, Any]) -> None:
        from trainables.models.network import Network

        forward, self._said = Network.forward, ""

        def speaking(network: Any, images: Any) -> Any:
            self._speak()
            return forward(network, images)

        Network.forward = speaking  # type: ignore[method-assign]
        super().setup(config)

    def _speak(self) -> None:
        """Prints in three ways, once in each epoch."""
        task, epoch = self._task, self._iteration + 1
        now = f"trial {task.training.number}, attempt at {epoch}"
        if now == self._said:
            return
        self._said = now
        print(f"network of {now} in {os.getpid()}")
        warnings.warn(f"warning of {now}", stacklevel=1)
        os.write(2, f"C of {now}\n".encode())
        crashed = task.checkpoint.parents[1] / ".crashed"
        if task.training.number == CRASHES and epoch == 2 and not crashed.exists():
            Path(crashed).touch()
            os.write(2, b"last words\n")
            os._exit(9)


def main(*arguments: str) -> int:
    from search.session import execute

    execute.run_trials = partial(execute.run_trials, worker=PrintingWorker)  # type: ignore[assignment]
    return run.main(list(arguments))


if __name__ == "__main__":
    from tests.search import search_with_prints  # workers find `PrintingWorker` by that name

    code = search_with_prints.main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
