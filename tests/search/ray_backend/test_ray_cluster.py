"""Several of Ray's nodes on one machine: trials run on all, also when these differ or are lost."""

import re
import socket
import subprocess
import sys
from collections import Counter, defaultdict
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import NodeDiedError, RayTaskError, WorkerCrashedError

from datasets.access import TRAIN_FILE
from results.overview.trial_log import read_log
from results.records import TrainingId, TrialState
from results.store import read_epochs, read_trials
from search.ray_backend.node_check import describe_mismatch
from search.ray_backend.ray_cluster import (
    ONLY_CODE,
    ClusterError,
    connect,
    living_nodes,
    report_death,
)
from tests.datasets.test_node_copy import PRINT, shared  # noqa: F401  (a fixture)
from tests.search.search_on_nodes import EPOCHS, TRIALS
from tests.search.test_search import ENVIRONMENT, ROOT


def test_the_rooms_travel_and_nothing_else(tmp_path: Path) -> None:
    from ray._private.runtime_env.packaging import create_package

    files = {
        "search/run.py": True, "search/spaces/demo.py": True, "datasets/beton/writer.py": True,
        "trainables/train.py": True, "results/store.py": True, "results/published/LOG.md": False,
        "data/demo/train.beton": False, "elsewhere/train.beton": False, "runs/first/x.json": False,
        ".git/HEAD": False, ".venv/bin/python": False, "search/__pycache__/run.pyc": False,
        "tests/search/test_run.py": False, "README.md": False, "model.pt": False,
    }  # fmt: skip
    root = tmp_path / "tree"
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name, encoding="utf-8")
    package = tmp_path / "package.zip"
    create_package(
        str(root), package, include_parent_dir=False, excludes=ONLY_CODE, include_gitignore=True
    )
    import zipfile

    packed = {name for name in zipfile.ZipFile(package).namelist() if not name.endswith("/")}
    assert packed == {name for name, travels in files.items() if travels}


def test_an_address_at_which_nobody_listens_is_refused_at_once() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(ClusterError, match=rf"but {address} isn't \(.*refused\); log in"):
            connect(address, ROOT)


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (WorkerCrashedError(), BrokenExecutor("The worker died unexpectedly while executing")),
        (NodeDiedError("The node was dead.\nMore."), BrokenExecutor("The node was dead")),
        (RayTaskError("measure", "", ValueError("no")), RayTaskError("measure", "", None)),
        (ValueError("no"), ValueError("no")),
    ],
)
def test_only_the_death_of_a_process_on_a_node_is_that_of_a_local_one(
    error: Exception, becomes: Exception
) -> None:
    answers: list[Future[int]] = [Future(), Future()]
    died, answered = map(report_death, answers)
    answers[0].set_exception(error)
    answers[1].set_result(7)
    assert answered.result() == 7
    found = died.exception()
    assert type(found) is type(becomes)
    assert str(found).startswith(str(becomes)[:20])


def test_a_node_that_is_to_be_taken_away_gets_no_new_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray._private.state import state

    def node(name: str, alive: bool = True, **resources: float) -> dict[str, Any]:
        return {"NodeID": name, "NodeManagerAddress": name, "Alive": alive, "Resources": resources}

    nodes = [node("a", CPU=2.0), node("b", CPU=2.0), node("c", False, CPU=2.0), node("d", GPU=1.0)]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(state, "get_draining_nodes", lambda: {"b": 1_700_000_000_000})
    assert [found.id for found in living_nodes()] == ["a"]


def searched(scratch: Path, what: str) -> tuple[str, list[list[str]]]:
    """(what `cluster_search` prints, the lines that its trials leave)."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.search.search_on_nodes", str(scratch), PRINT, what],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    records = read_trials(scratch / "run")
    assert len(records) == TRIALS[what]
    assert {(r.state, r.retried, r.epochs) for r in records.values()} == {
        (TrialState.COMPLETE, None, EPOCHS)
    }
    lines = (scratch / "trained").read_text(encoding="utf-8").splitlines()
    return done.stdout, [line.split() for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["lost", "drained"])
def test_trials_of_a_lost_node_go_on_at_the_other(shared: Path, what: str) -> None:  # noqa: F811
    """Its images come through Ray, its checkpoints have gone home."""
    printed, lines = searched(shared.parent, what)
    lost = (shared.parent / "lost").read_text(encoding="utf-8")
    nodes = {node for node, *_ in lines}
    assert len(nodes) == 2
    assert lost in nodes
    moved = {number for node, number, *_ in lines if node == lost}
    assert "its node was lost: goes on elsewhere after epoch" in printed
    assert "failed in a row: 0" in printed
    # nothing is recorded twice, and at most one epoch of each trial that moved is trained twice
    seen = Counter((number, m.epoch) for number, m in read_epochs(shared.parent / "run"))
    assert set(seen.values()) == {1}
    trained = Counter((number, epoch) for _, number, epoch, *_ in lines)
    again = Counter(number for (number, _), times in trained.items() if times > 1)
    assert set(again) <= moved
    assert all(times == 1 for times in again.values())
    assert max(trained.values()) <= 2
    assert "waits for tiny, which this node lacks: gets it from the node that" in printed
    logged = set()
    for number in {number for number, _ in seen}:
        log = read_log(shared.parent / "run", TrainingId(number))
        said = [line.split() for line in log.splitlines() if not line.startswith("---")]
        assert {words[1] for words in said} == {str(number)}
        assert [words for words in said if words not in lines] == []
        lacking = set(range(1, EPOCHS + 1)) - {int(words[2]) for words in said}
        # A node may be lost when it has sent an epoch's checkpoint and not yet its words.
        assert len(lacking) <= (str(number) in moved)
        logged |= {words[0] for words in said}
    assert logged == nodes  # what was printed elsewhere has come here
    copy = shared.parent / "cache-2" / "tiny-imagenet-search" / "data" / f"tiny-{PRINT[:16]}"
    assert (copy / TRAIN_FILE).read_bytes() == (shared / TRAIN_FILE).read_bytes()
    assert not (shared.parent / "cache-1").exists()


@pytest.mark.slow
def test_a_node_with_other_packages_is_refused_in_one_sentence(tmp_path: Path) -> None:
    package = tmp_path / "packages" / "torch-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torch\nVersion: 1.0\n", encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.search.search_on_nodes", str(tmp_path), PRINT, "unlike"],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=500,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.search(
        r"^error: Node [\d.]+ must have the packages of this machine, but has torch 1\.0 instead "
        r"of 2\.[\d.+a-z]+; type `make setup` on both, and start Ray there anew\.$",
        done.stderr,
        re.MULTILINE,
    )


def test_packages_are_compared_by_version_and_not_by_build() -> None:
    here = {"torch": "2.14.1+cpu", "ffcv": "1.0.2"}
    assert describe_mismatch(here, {"torch": "2.14.1+cu130", "ffcv": "1.0.2"}, "10.0.0.3") == []
    (error,) = describe_mismatch(here, {"torch": "2.13.0", "ffcv": None}, "10.0.0.3")
    assert "but has torch 2.13.0 instead of 2.14.1+cpu, ffcv missing instead of 1.0.2;" in error


def most_at_once(lines: list[list[str]]) -> dict[tuple[str, str], int]:
    """(node, GPUs) -> the most trials that trained there at once, whatever number of workers they
    had: Ray keeps one idle worker, and ends others whose trials end in the same moment.
    """
    spans: dict[tuple[str, str], dict[str, tuple[int, int]]] = defaultdict(dict)
    for at, (node, number, _, _, gpus) in enumerate(lines):
        first, _ = spans[node, gpus].get(number, (at, at))
        spans[node, gpus][number] = (first, at)
    return {
        place: max(sum(a <= first <= b for a, b in of.values()) for first, _ in of.values())
        for place, of in spans.items()
    }


def test_trials_at_once_are_counted_by_their_epochs() -> None:
    """Trials 1 and 2 share node a's cores; 3 and 4 have its GPU one after the other."""
    order = [("1", "-"), ("3", "0"), ("2", "-"), ("1", "-"), ("3", "0"), ("2", "-"), ("4", "0")]
    lines = [["a", number, "1", "77", gpus] for number, gpus in order]
    assert most_at_once(lines) == {("a", "-"): 2, ("a", "0"): 1}


@pytest.mark.slow
def test_unlike_nodes_are_all_used(shared: Path) -> None:  # noqa: F811
    """A trial a GPU where there are some, and beside them trials on the cores of the node without;
    none of these on a core that a GPU's trial needs.
    """
    printed, lines = searched(shared.parent, "mixed")
    _, *told = next(line for line in printed.splitlines() if line.startswith("nodes ")).split()
    names = {text.split(":")[0]: text.split(":", 1)[1] for text in told}
    assert sorted(names.values()) == ["2:0", "2:1", "8:8"]
    trials = defaultdict(set)
    for node, number, *_ in lines:
        trials[names[node]].add(number)
    at_once = {(names[node], gpus): most for (node, gpus), most in most_at_once(lines).items()}
    on_eight = {("8:8", gpu): 1 for gpu in "01234567"}
    assert at_once == {("2:0", "-"): 2, ("2:1", "0"): 1} | on_eight
    assert sum(map(len, trials.values())) == TRIALS["mixed"]
    print(f"trials on each kind of node: { {kind: len(of) for kind, of in trials.items()} }")
