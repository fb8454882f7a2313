"""`kill -9` of a search's driver twenty times, with copies of its folder (`cp -r`) while it writes,
a reader beside it all the time, and a journal that is lost or damaged after every kill.
"""

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from common.errors import UserError
from results.analysis.run_records import RunRecords, read_run_records
from tests.drills.curve_search import go_on
from tests.search.session_on_curves import outcome

KILLS = int(os.environ.get("DRILL_KILLS", "20"))
PAUSE_S = 0.03


def damage_journal(run: Path, moment: random.Random) -> str:
    path = run / "journal.log"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    kind = moment.choice(["whole", "missing", "empty line", "shorter", "longer", "exchanged"])
    if kind == "missing" or not lines:
        path.unlink(missing_ok=True)
    elif kind == "empty line":
        path.write_bytes(b"".join(lines) + b"\n")
    elif kind == "shorter":
        path.write_bytes(b"".join(lines[: moment.randrange(len(lines))]))
    elif kind == "longer":
        path.write_bytes(b"".join(lines + lines[moment.randrange(len(lines)) :]))
    elif kind == "exchanged":
        moment.shuffle(lines)
        path.write_bytes(b"".join(lines))
    return kind


def copy_live(run: Path, to: Path) -> None:
    """Copies a run that is being written. Optuna's lock may go between listing and copying it."""
    words = ["cp", "-r", str(run), str(to)]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=False)
    assert all("journal.log.lock" in line for line in done.stderr.splitlines()), done.stderr


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_kills_copies_and_journals(tmp_path: Path, tiny_data: Path) -> None:
    go_on(tmp_path / "whole", tiny_data, 0.0)
    whole, out = outcome(tmp_path / "whole" / "run"), tmp_path / "cut"
    run, moment = out / "run", random.Random(int(os.environ.get("DRILL_SEED", "0")))
    counts, copies = Counter[str](), []
    for kill in range(KILLS):
        words = [sys.executable, "-m", "tests.drills.curve_search", out, tiny_data, str(PAUSE_S)]
        process = subprocess.Popen([*map(str, words)])
        before = epochs_of(run)
        ends = None
        while process.poll() is None:
            if (run / "manifest.json").exists():
                seen = read_run_records(run)  # raises where a live run seems damaged
                counts["read live"] += 1
                if ends is None and len(seen.recorded) > before:
                    ends = time.monotonic() + moment.uniform(0.0, 0.4)
                if ends is not None and moment.random() < 0.2:
                    copies.append(tmp_path / f"copy-{kill}-{len(copies)}")
                    copy_live(run, copies[-1])
            if ends is not None and time.monotonic() > ends:
                process.kill()
            time.sleep(0.005)
        counts["killed" if process.returncode < 0 else "ended"] += 1
        counts[f"journal {damage_journal(run, moment)}"] += 1
    go_on(out, tiny_data, 0.0)
    assert outcome(run) == whole
    for copy in copies:
        try:
            found: RunRecords = read_run_records(copy)
        except UserError as error:
            assert str(copy) in str(error)  # noqa: PT017
            counts["copies refused"] += 1
            continue
        counts["copies opened"] += 1
        if counts["copies gone on"] < 5:
            counts["copies gone on"] += 1
            place = tmp_path / f"again-{counts['copies gone on']}" / "run"
            shutil.copytree(copy, place)
            (place / ".lock").unlink(missing_ok=True)
            go_on(place.parent, tiny_data, 0.0)
            assert outcome(place) == whole
        assert len(found.recorded) <= len(whole[1])
    print(f"records drill: {dict(counts)}, epochs {len(whole[1])}, lost 0")


def epochs_of(run: Path) -> int:
    return len(read_run_records(run).recorded) if (run / "manifest.json").exists() else 0
