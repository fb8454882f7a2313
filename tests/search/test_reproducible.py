"""The same search twice: on a CPU with one worker, the same records to the last bit."""

import json
from pathlib import Path

import pytest

from tests.search.test_search import command, run

MEASURED = {
    "wall_s", "train_s", "images_per_s", "start_s", "idle_s", "loading_s", "session_s",
    "peak_memory_bytes", "chain",
}  # fmt: skip
"""What the machine's day decides: times, the memory of the process, and the lines' checksums."""


def lines(path: Path) -> list[str]:
    """A JSON-lines file without what is measured of the machine, as text: every digit counts."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [json.dumps({k: v for k, v in row.items() if k not in MEASURED}) for row in rows]


@pytest.mark.slow
def test_one_worker_and_one_seed_give_the_same_search(tmp_path: Path, tiny_data: Path) -> None:
    for name in ("first", "second"):
        done = run(command(tmp_path / name, tiny_data, "--trials", "5", "--concurrency", "1"))
        assert done.returncode == 0, done.stdout + done.stderr
    for file in ("epochs.jsonl", "trials.jsonl"):
        first, second = (lines(tmp_path / n / "run" / file) for n in ("first", "second"))
        assert first == second
    best = [
        (tmp_path / n / "run" / "best.yaml").read_text(encoding="utf-8")
        for n in ("first", "second")
    ]
    first, second = (text.split("provenance")[0].splitlines() for text in best)
    # Checksum and signature cover the provenance too.
    assert first[0].startswith("sha256: ")
    assert sum(line.startswith("mac: ") for line in first) == 1
    first, second = (
        [line for line in found if not line.startswith(("sha256: ", "mac: "))]
        for found in (first, second)
    )
    assert first == second
