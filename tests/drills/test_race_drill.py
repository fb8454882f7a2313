"""Two of a kind at the same moment: searches on one dataset, of one name, and conversions."""

import subprocess
import sys
from pathlib import Path

import pytest

from datasets.manifest import verify
from results.store import read_trials
from tests.drills.searches import LEFT, PATIENCE_S, run, search, start
from tests.search.test_search import numbers


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_two_searches_side_by_side_on_one_dataset_disturb_neither(
    tmp_path: Path, demo_data: Path
) -> None:
    """One worker each, so that each has the numbers that it has alone."""
    run(search(tmp_path / "alone", demo_data, trials=3))
    both = [start(search(tmp_path / side, demo_data, trials=3)) for side in "ab"]
    outcomes = [ended(process) for process in both]
    assert [code for code, _, _ in outcomes] == [0, 0], outcomes
    for side in "ab":
        assert numbers(tmp_path / side / "run") == numbers(tmp_path / "alone" / "run")
    print("two searches at once: both finished, to the numbers that each has alone")


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_of_two_searches_with_one_name_the_second_is_refused(
    tmp_path: Path, demo_data: Path
) -> None:
    """Started in the same moment, so that neither finds a run of that name."""
    both = [start(search(tmp_path, demo_data, trials=2)) for _ in range(2)]
    outcomes = sorted(ended(process) for process in both)
    assert [code for code, _, _ in outcomes] == [0, 2], outcomes
    errors = [line for line in outcomes[1][2].splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "another --name" in errors[0] or "another name" in errors[0]
    directory = tmp_path / "run"
    assert len(read_trials(directory)) == 2
    assert {path.name for path in directory.iterdir()} - {"checkpoints"} == LEFT
    print(f"two searches of one name: one finished, the other said «{errors[0]}»")


@pytest.mark.drill
@pytest.mark.timeout(1800)
def test_of_two_conversions_one_works_and_the_other_waits(tmp_path: Path, tiny_zip: Path) -> None:
    command = [
        sys.executable, "-m", "datasets.prepare", "tiny-imagenet", "--source", str(tiny_zip),
        "--data", str(tmp_path), "--workers", "1",
    ]  # fmt: skip
    outcomes = [ended(process) for process in [start(command) for _ in range(4)]]
    assert [code for code, _, _ in outcomes] == [0] * 4, outcomes
    manifest = verify(tmp_path / "tiny-imagenet")
    assert all(manifest.fingerprint[:16] in out for _, out, _ in outcomes)
    converted = sum("train.beton" in err for _, _, err in outcomes)
    waited = sum("waiting for it" in err for _, _, err in outcomes)
    assert converted == 1
    left = {path.name for path in (tmp_path / "tiny-imagenet").iterdir()}
    assert left == {".lock", "manifest.json", "test.beton", "train.beton"}
    print(f"four conversions at once: {waited} waited, all found the same images")
