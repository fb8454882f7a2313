"""Three hosts with addresses of their own: one is cut off, one lost, and then the head."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from results.records import TrialState
from results.store import read_epochs, read_trials
from tests.drills.hosts import apart, why_not
from tests.drills.parted import EPOCHS, TRIALS, search
from tests.drills.searches import ENVIRONMENT, PATIENCE_S, ROOT, best, run
from tests.search.test_search import numbers

Epochs = Counter[tuple[int, int]]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> Path:
    """The same search on one machine, a trial a core with one thread as on the hosts."""
    scratch = tmp_path_factory.mktemp("alone")
    cores = sorted(os.sched_getaffinity(0))[:2]
    command = search("search.run", "alone", scratch, demo_data, "--concurrency", str(len(cores)))
    run(["taskset", "-c", ",".join(map(str, cores)), *command])
    return scratch / "runs" / "alone"


def drilled(module: str, scratch: Path, data: Path) -> Any:
    """What a module tells that works with hosts."""
    if lacking := why_not():
        pytest.skip(f"not drilled: it {lacking}")
    done = subprocess.run(
        apart(module, str(scratch), str(data)),
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=2 * PATIENCE_S,
    )  # fmt: skip
    printed = [
        path.read_text(encoding="utf-8") for path in sorted(scratch.iterdir()) if path.is_file()
    ]
    assert done.returncode == 0, done.stderr + "\n".join(printed)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["code"] == 0, printed
    for text in printed:
        assert "Traceback" not in text
        assert "(raylet)" not in text
    assert "waits for demo, which this node lacks" in printed[0]
    return told


def compared(directory: Path, alone: Path) -> Epochs:
    """How often each epoch is recorded: all trials are complete, as those on one machine."""
    records = read_trials(directory)
    assert len(records) == TRIALS
    assert {(r.state, r.retried, r.epochs) for r in records.values()} == {
        (TrialState.COMPLETE, None, EPOCHS)
    }
    assert numbers(directory) == numbers(alone)
    assert best(directory)["config"] == best(alone)["config"]
    return Counter((number, metrics.epoch) for number, metrics in read_epochs(directory))


def by_hosts(told: Any) -> Epochs:
    """How often each epoch was trained."""
    return Counter((line["trial"], line["epoch"]) for each in told["trained"] for line in each)


def described(trained: Epochs, told: Any) -> str:
    again = sum(trained.values()) - len(trained)
    return (
        f"seconds: {told['times']}; {len(trained)} epochs, {again} of them trained twice; on the "
        f"hosts {[len(lines) for lines in told['trained']]}; trials, metrics and best "
        "configuration as on one machine"
    )


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_a_host_that_is_cut_off_takes_one_epoch_with_it_and_is_used_again(
    tmp_path: Path, demo_data: Path, alone: Path
) -> None:
    told = drilled("tests.drills.parted", tmp_path, demo_data)
    recorded, trained = compared(tmp_path / "runs" / "cluster", alone), by_hosts(told)
    assert set(recorded.values()) == {1}
    assert set(trained) == set(recorded)
    lost = told["trained"][2]
    assert any(line["at"] > told["back_at"] for line in lost)
    # of each trial that was there at most one epoch is trained again
    gone = {line["trial"] for line in lost if line["at"] < told["back_at"]}
    again = [number for (number, _), times in trained.items() for _ in range(times - 1)]
    assert set(again) <= gone
    assert len(again) == len(set(again))
    # the images have travelled to both others, once to each
    assert told["copies"] == [[], ["train.beton"], ["train.beton"]]
    print(described(trained, told))


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_a_search_goes_on_from_s3_when_a_node_and_then_the_head_are_lost(
    tmp_path: Path, demo_data: Path, alone: Path
) -> None:
    told = drilled("tests.drills.stored", tmp_path, demo_data)
    recorded, trained = compared(tmp_path / "runs" / "cluster", alone), by_hosts(told)
    assert set(recorded.values()) == {1}
    assert set(trained) == set(recorded)
    assert told["archive"] in told["kept"]
    assert any("/checkpoints/" in key for key in told["kept"])
    # once the search has ended, no checkpoint is left, but for what a killed worker was sending
    assert [k for k in told["left"] if not k.endswith(("/", ".tmp"))] == [told["archive"]]
    # each of the trials that ran was lost once or twice, with an epoch each
    again = Counter(number for (number, _), times in trained.items() for _ in range(times - 1))
    assert max(again.values(), default=0) <= 2
    print(f"{len(told['before'])} epochs when the head's search was killed; "
          + described(trained, told))  # fmt: skip
