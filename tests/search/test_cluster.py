"""Two of Ray's nodes on one machine: trials run on both, and one of them is lost."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from datasets.access import TRAIN_FILE
from results.records import TrialState
from results.store import read_epochs, read_trials
from search.cluster import ONLY_CODE
from tests.datasets.test_copies import PRINT, shared  # noqa: F401  (a fixture)
from tests.search.cluster_search import EPOCHS, TRIALS
from tests.search.test_search import ENVIRONMENT, ROOT


def test_the_rooms_travel_and_nothing_else(tmp_path: Path) -> None:
    from ray._private.runtime_env.packaging import create_package

    files = {
        "search/run.py": True, "search/spaces/demo.py": True, "datasets/beton.py": True,
        "trainables/train.py": True, "results/store.py": True, "results/published/LOG.md": False,
        "data/demo/train.beton": False, "elsewhere/train.beton": False, "runs/first/x.json": False,
        ".git/HEAD": False, ".venv/bin/python": False, "search/__pycache__/run.pyc": False,
        "tests/search/test_run.py": False, "README.md": False, "model.pt": False,
    }  # fmt: skip
    root = tmp_path / "tree"
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    package = tmp_path / "package.zip"
    create_package(
        str(root), package, include_parent_dir=False, excludes=ONLY_CODE, include_gitignore=True
    )
    import zipfile

    packed = {name for name in zipfile.ZipFile(package).namelist() if not name.endswith("/")}
    assert packed == {name for name, travels in files.items() if travels}


@pytest.mark.slow
def test_trials_of_a_lost_node_go_on_at_the_other(tmp_path: Path, shared: Path) -> None:  # noqa: F811
    """Its images come through Ray, its checkpoints have gone home."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.search.cluster_search", str(shared.parent), PRINT],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lost = (shared.parent / "lost").read_text()
    lines = [line.split() for line in (shared.parent / "trained").read_text().splitlines()]
    nodes = {node for node, _, _ in lines}
    assert len(nodes) == 2
    assert lost in nodes
    moved = {number for node, number, _ in lines if node == lost}
    assert "its node was lost: goes on elsewhere after epoch" in done.stdout
    records = read_trials(shared.parent / "run")
    assert len(records) == TRIALS
    assert {(r.state, r.retried, r.epochs) for r in records.values()} == {
        (TrialState.COMPLETE, None, EPOCHS)
    }
    assert "failed in a row: 0" in done.stdout
    # nothing is recorded twice, and at most one epoch of each trial that moved is trained twice
    seen = Counter((number, m.epoch) for number, m in read_epochs(shared.parent / "run"))
    assert set(seen.values()) == {1}
    trained = Counter((number, epoch) for _, number, epoch in lines)
    again = Counter(number for (number, _), times in trained.items() if times > 1)
    assert set(again) <= moved
    assert all(times == 1 for times in again.values())
    assert max(trained.values()) <= 2
    assert "waits for tiny, which this node lacks: gets it from the node that" in done.stdout
    copy = shared.parent / "cache-2" / "tiny-imagenet-search" / "data" / f"tiny-{PRINT[:16]}"
    assert (copy / TRAIN_FILE).read_bytes() == (shared / TRAIN_FILE).read_bytes()
    assert not (shared.parent / "cache-1").exists()
