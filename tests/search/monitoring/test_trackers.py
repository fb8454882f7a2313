"""What is told beside a search, and that it can't be in its way."""

import threading
from pathlib import Path

import pytest

from common.background import BackgroundWorker
from results.records import StopReason, TrainingId, TrialRecord, TrialState
from search.config import validation
from search.config.command_line import resolve
from search.monitoring.limits import Limits
from search.monitoring.progress import Progress
from search.monitoring.tensorboard import BEST, TensorBoard
from search.study.proposer import Proposal
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig

CONFIG = TrialConfig(network="resnet10", epochs=9)


def test_what_goes_wrong_beside_the_search_is_told_once():
    said, done = [], []
    background = BackgroundWorker("Tracker", said.append)
    background.do(lambda: done.append(1))
    assert done == []  # nothing is done before it is started
    background.start()
    background.do(lambda: 1 / 0)
    background.do(lambda: done.append(2))
    background.close()
    assert done == [1]
    assert said == [
        "Tracker fails, and the search goes on without it: ZeroDivisionError: division by zero"
    ]


def test_what_hangs_beside_the_search_doesn_t_hold_its_end():
    said, enough = [], threading.Event()
    background = BackgroundWorker("Tracker", said.append)
    background.start()
    background.do(enough.wait)
    background.close(patience_s=0.05)
    enough.set()
    assert said == ["Tracker isn't done after 0.05 s: the rest of it is lost."]


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"mlflow": "mlflow.db"}, "--mlflow must be an address, such as sqlite:///mlflow.db or"),
        ({"wandb": "a/b/c"}, "--wandb must be PROJECT or ENTITY/PROJECT, but got 'a/b/c'."),
        ({"tensorboard": "yes"}, "--tensorboard must be true or false, but got 'yes'."),
    ],
)
def test_faulty_values_are_refused_with_the_rule(given, rule):
    errors = resolve({"space": "demo"}, given)[1]
    assert [error for error in errors if error.startswith(rule)]


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_missing_package_is_named_with_the_command(package, monkeypatch):
    monkeypatch.setattr(validation, "find_spec", lambda name: None)
    errors = resolve(
        {"space": "demo"}, {package: "sqlite:///x"[: 99 if package == "mlflow" else 6]}
    )
    assert errors[1] == [
        f"--{package} needs a package that isn't installed (pip install '.[{package}]'), but got "
        f"'sqlite{':///x' if package == 'mlflow' else ''}'."
    ]


def events(folder: Path) -> dict[str, list[tuple[str, int, float]]]:
    """(tag, epoch, value) of each scalar, by folder."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[tuple[str, int, float]]] = {}
    for path in sorted(folder.rglob("events.out.*")):
        data, at, rows = path.read_bytes(), 0, found.setdefault(path.parent.name, [])
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 12 + length + 4
            rows += [
                (value.tag, event.step, round(value.simple_value, 6))
                for value in event.summary.value
                if value.HasField("simple_value")
            ]
    return found


def follow(board, progress, number, values, *, repeat=None):
    training = TrainingId(number, repeat)
    proposal = Proposal(training=training, config=CONFIG)
    known = progress.started(proposal)
    board.began(proposal, 0.0)
    for value in values:
        epoch = metrics(len(known.metrics) + 1, value, gap=0.1)
        board.epoch(training, epoch, new=progress.epoch(training, epoch))


@pytest.mark.slow  # importing tensorboardX takes two seconds
def test_event_files_are_one_folder_a_trial_and_nothing_is_doubled_on_a_resume(tmp_path):
    said: list[str] = []
    first = Progress(Limits(trials=4))
    board = TensorBoard(tmp_path, first, said.append)
    board.start()
    follow(board, first, 0, [0.1, 0.3])
    record = TrialRecord(
        number=0, state=TrialState.STOPPED, reason=StopReason.RUNG, config=CONFIG.to_dict(),
        params={"lr": 0.1, "momentum": None, "optimizer": "sgd"},
    )  # fmt: skip
    first.ended(record)
    board.ended(record)
    follow(board, first, 1, [0.2])
    board.closed()
    found = events(tmp_path / "tensorboard")
    assert set(found) == {"trial-0000-baseline", "trial-0001"}
    top1 = [row for row in found["trial-0000-baseline"] if row[0] == "val/top1"]
    assert top1 == [("val/top1", 1, 0.1), ("val/top1", 2, 0.3)]
    assert found["trial-0000-baseline"][-1] == (BEST, 2, 0.3)
    assert ("gap", 1, 0.1) in found["trial-0001"]

    again = Progress(Limits(trials=4))
    unfinished = TrialRecord(number=1, state=TrialState.RUNNING, params={}, config=CONFIG.to_dict())
    epochs = {0: [metrics(1, 0.1), metrics(2, 0.3)], 1: [metrics(1, 0.2)]}
    again.recall([(record, epochs[0]), (unfinished, epochs[1])])
    board = TensorBoard(tmp_path, again, said.append)
    board.start()
    follow(board, again, 1, [0.4])
    board.closed()
    found = events(tmp_path / "tensorboard")
    assert [row for row in found["trial-0000-baseline"] if row[0] == "val/top1"] == top1
    assert found["trial-0000-baseline"][-1] == (BEST, 2, 0.3)
    top1 = [row for row in found["trial-0001"] if row[0] == "val/top1"]
    assert top1 == [("val/top1", 1, 0.2), ("val/top1", 2, 0.4)]
    assert said == []
