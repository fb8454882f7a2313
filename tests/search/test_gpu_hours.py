"""GPU-hours of a whole search: its workers name the GPUs that Ray has given them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.search.test_search import ENVIRONMENT, ROOT


@pytest.mark.slow
def test_a_search_counts_each_gpu_while_a_training_runs_on_it(tmp_path: Path) -> None:
    """Two of three slots are on one GPU; the meter agrees with the union of their trainings."""
    directory = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "tests.search.search_on_gpus", str(directory)],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    trainings = found["trainings"]
    assert [each["share"] for each in trainings] == [0.5] * 4
    names = {name for each in trainings for name in each["gpus"]}
    assert len(names) == 2
    assert len({name.partition("/")[0] for name in names}) == 1
    held_s = sum(union([each for each in trainings if each["gpus"] == [name]]) for name in names)
    assert found["time"]["held_s"] == pytest.approx(held_s, abs=0.1)
    assert found["time"]["busy_s"] == pytest.approx(4 * 2 * 0.5 * 0.25)
    lines = (directory / "epochs.jsonl").read_text(encoding="utf-8").splitlines()
    recorded = [json.loads(line)["gpu_s"] for line in lines]
    assert 0 < recorded[0] < recorded[-1] <= found["time"]["held_s"]


def union(trainings: list[dict[str, float]]) -> float:
    """The seconds in which at least one of them ran."""
    total, end = 0.0, 0.0
    for each in sorted(trainings, key=lambda each: each["began"]):
        total += max(0.0, each["ended"] - max(each["began"], end))
        end = max(end, each["ended"])
    return total
