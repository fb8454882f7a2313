"""A search on Ray whose disk fills up, then goes on; and one on a read-only disk.

python -m tests.drills.full_search DISK DATA LOG
"""

import json
import sys
from pathlib import Path

from tests.drills.searches import PATIENCE_S, epochs_in, resume, search, start, wait_for
from tests.drills.small_disk import fill, free, remount
from tests.search.test_search import numbers


def main(disk: Path, data: Path, log: Path) -> None:
    out, told = disk / "runs", []
    process = start(search(out, data, log=log))
    wait_for(lambda: epochs_in(out / "run") >= 3, process)
    fill(disk)
    printed = process.communicate(timeout=PATIENCE_S)
    kept = epochs_in(out / "run")
    told.append([process.returncode, *printed])
    free(disk)
    for command in (resume(out, log=log), resume(out)):
        process = start(command)
        printed = process.communicate(timeout=PATIENCE_S)
        told.append([process.returncode, *printed])
        remount(disk, "ro")  # for the second one
    print(json.dumps({"kept": kept, "told": told, "numbers": repr(numbers(out / "run"))}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
