"""A search on made curves in a process of its own, to be killed: `… OUT DATA PAUSE_S`.

It begins the run OUT/run or goes on with it, and waits PAUSE_S at each epoch.
"""

import shutil
import sys
import time
from pathlib import Path

from tests.search.session_on_curves import opened, planned
from tests.search.study_on_curves import curve

OPTIONS = {"finalists": 1, "repeats": 2, "epochs": 9}


def go_on(out: Path, data: Path, pause_s: float) -> None:
    """Trains until nothing is left."""
    begun = (out / "run" / "manifest.json").exists()
    options = {"out": str(out)} if begun else OPTIONS
    if not begun:
        shutil.rmtree(out / "run", ignore_errors=True)
    session = opened(planned(out, data, options, name="run", trials=12))
    while (proposal := session.supervisor.propose()) is not None:
        for metrics in curve(proposal.config, proposal.config.epochs)[proposal.epochs_done :]:
            time.sleep(pause_s)
            if session.supervisor.epoch(proposal.training, metrics):
                break
    session.close()


if __name__ == "__main__":
    go_on(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
