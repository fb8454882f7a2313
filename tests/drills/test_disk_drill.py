"""Disks that are full, too small, or read-only: one sentence, nothing lost, and it goes on."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.drills.searches import run, search
from tests.drills.small_disk import on_small_disk
from tests.search.test_search import numbers


def outcome(done: subprocess.CompletedProcess[str]) -> Any:
    """What a module told in its last line."""
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Where a small disk is mounted, for the process that works on it."""
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


@pytest.mark.drill
def test_records_and_journal_lose_nothing_wherever_the_disk_is_full(disk: Path) -> None:
    told = outcome(on_small_disk(disk, "4m", "tests.drills.full_records"))
    for each in told["filled"]:
        assert each["errno"] == "ENOSPC"
        assert each["said"].startswith("The disk that holds ")
        assert "is full; free some space there, then go on with --resume " in each["said"]
        assert each["everything"] == told["whole"]
    assert told["checkpoint"] == {"errno": "ENOSPC", "kept": "old", "beside": ["0000.pt"]}
    places = [(each["where"], *each["torn"]) for each in told["filled"]]
    print(f"full at {places}: each went on to the search of an empty disk")


@pytest.mark.drill
def test_a_conversion_says_so_leaves_nothing_and_works_with_more_room(
    disk: Path, tiny_zip: Path
) -> None:
    done = on_small_disk(disk, "3m", "tests.drills.full_conversion", str(tiny_zip))
    told = outcome(done)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert told["codes"] == [2, 2, 2, 0]
    assert len(errors) == 3
    assert "of free disk space, but has" in errors[0]
    assert "is full and nothing half-made was kept; free some space or use another" in errors[1]
    assert "can't be written (Read-only file system); make it writable, or use another" in errors[2]
    assert [list(left) for left in told["left"][:3]] == [["tiny-imagenet/.lock"]] * 3
    assert len(told["left"][3]) == 4
    print(f"conversion: {errors}")


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_a_search_stops_with_one_sentence_and_goes_on_when_there_is_room(
    tmp_path: Path, disk: Path, demo_data: Path
) -> None:
    run(search(tmp_path / "whole", demo_data))
    log = tmp_path / "log"
    done = on_small_disk(disk, "256m", "tests.drills.full_search", str(demo_data), str(log))
    told = outcome(done)
    (code, out, err), (resumed, *printed), (refused, _, sentence) = told["told"]
    assert code == 130, out + err
    (line,) = [
        line for line in out.splitlines() if line.startswith("error: the search stopped: The disk ")
    ]
    assert "is full; free some space there, then go on with --resume " in line
    assert "Traceback" not in out + err
    assert told["kept"] >= 3
    assert resumed == 0, printed
    assert told["numbers"] == repr(numbers(tmp_path / "whole" / "run"))
    assert refused == 2
    assert sentence.startswith("error: ")
    assert sentence.endswith("isn't; make it writable, or choose another folder with --out.\n")
    print(f"full with {told['kept']} epochs: «{line}»; went on to the same numbers")
