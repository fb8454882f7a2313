"""A search on three hosts, of which one is cut off in its midst and comes back.

python -m tests.drills.parted SCRATCH DATA, within `hosts.apart`. What was seen is printed as JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.drills.logged_nodes import trained
from tests.drills.ray_hosts import address, gather, joined, said
from tests.drills.searches import wait_for

MOVED = "its node was lost: goes on elsewhere after epoch"
TRIALS, EPOCHS = 10, 20
"""No trial is stopped early, and the first ten configurations depend on the seed alone: so a search
on one machine has the same trials. So many epochs that some trials haven't begun when the host is
back."""


def search(
    module: str, name: str, scratch: Path, data: Path, *more: str, trials: int = TRIALS
) -> list[str]:
    """The command."""
    return [
        sys.executable, "-m", module, "--space", "demo", "--data", str(data), "--name", name,
        "--out", str(scratch / "runs"), "--precision", "float32", "--trials", str(trials),
        "--epochs", str(EPOCHS), "--grace", str(EPOCHS), "--max-gap", "0",
        "--set", "batch_size=64", "image_size=32", *more,
    ]  # fmt: skip


def main(scratch: Path, data: Path) -> dict[str, Any]:
    began, times = time.time(), {}

    def note(name: str) -> float:
        times[name] = round(time.time() - began, 1)
        return time.time()

    hosts, _ = gather(scratch, data, {})
    head, _, lost = hosts
    note("hosts up")
    output, log = scratch / "output", lost.folder / "epochs"
    command = search("tests.drills.logged_nodes", "cluster", scratch, data)
    driver = head.start([*command, "--address", address(head)], output, {"RAY_AUTH_MODE": "token"})
    wait_for(lambda: len(trained(log)) >= 3, driver)
    time.sleep(0.7)  # in mid-epoch
    lost.cut_off()
    cut_at = note("cut off")
    wait_for(lambda: said(output, MOVED), driver)
    note("its trial moved")
    lost.bring_back()
    back_at = note("brought back")
    wait_for(joined(lost, 2), driver)
    note("joined again")
    wait_for(lambda: any(line["at"] > back_at + 1 for line in trained(log)), driver)
    note("trains again")
    code = driver.wait()
    note("ended")
    return {
        "code": code,
        "times": times,
        "cut_at": cut_at,
        "back_at": back_at,
        "trained": [trained(host.folder / "epochs") for host in hosts],
        "copies": [[path.name for path in host.folder.rglob("*.beton")] for host in hosts],
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
