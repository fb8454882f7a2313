"""Checkpoints beside the training: whole, of the right moment, and none of a stopped trial."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from datasets.access import open_search_data
from datasets.splits import SearchData
from trainables.config import TrialConfig
from trainables.models.network import Network
from trainables.models.setup import new_network
from trainables.train import train
from trainables.training import checkpoint_writer
from trainables.training.checkpoint import read_history
from trainables.training.checkpoint_writer import CheckpointWriter
from trainables.training.optimizer import make_optimizer

pytestmark = pytest.mark.usefixtures("narrow_resnets")

CPU = torch.device("cpu")
CONFIG = TrialConfig(
    network="resnet10", image_size=32, batch_size=16, epochs=3, precision="float32"
)


@pytest.fixture
def data(tiny_data: Path) -> SearchData:
    return open_search_data(tiny_data)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every epoch, however short."""
    monkeypatch.setattr(checkpoint_writer, "SAVE_EVERY_S", 0.0)


class Gate:
    """`torch.save` that begins only when it is let through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened, self.reached = threading.Event(), threading.Event()
        self._save = torch.save
        monkeypatch.setattr(torch, "save", self)

    def __call__(self, *arguments: Any) -> None:
        self.reached.set()
        assert self.opened.wait(30)
        self._save(*arguments)


def disk_full(content: object, file: object) -> None:
    raise OSError(28, "No space left on device")


def state(path: Path) -> dict[str, torch.Tensor]:
    content: dict[str, dict[str, torch.Tensor]] = torch.load(path, weights_only=True)
    return content["network"]


def change(network: Network) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)


def test_what_is_written_is_the_moment_of_saving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    path = tmp_path / "trial.pt"
    network = new_network(CONFIG, 4, CPU)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    saver = CheckpointWriter(path, "identity")
    saver.save(network, make_optimizer(network, CONFIG), [])
    assert gate.reached.wait(30)
    change(network)
    assert not path.exists()
    gate.opened.set()
    saver.wait()
    assert all(torch.equal(tensor, before[name]) for name, tensor in state(path).items())
    saver.save(network, make_optimizer(network, CONFIG), [])
    saver.close()
    assert not torch.equal(state(path)["head.fc.weight"], before["head.fc.weight"])
    assert [p.name for p in tmp_path.iterdir()] == ["trial.pt"]


def test_a_failed_write_is_raised_once_and_closing_is_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = new_network(CONFIG, 4, CPU)
    saver = CheckpointWriter(tmp_path / "trial.pt", "identity")
    monkeypatch.setattr(torch, "save", disk_full)
    saver.save(network, make_optimizer(network, CONFIG), [])
    with pytest.raises(OSError, match="No space left"):
        saver.wait()
    saver.wait()
    saver.save(network, make_optimizer(network, CONFIG), [])
    saver.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("always")
def test_a_full_disk_ends_the_training_before_the_next_epoch_is_told(
    data: SearchData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = threading.active_count()
    epochs = train(CONFIG, data, checkpoint=tmp_path / "trial.pt")
    next(epochs)
    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError, match="No space left"):
        next(epochs)
    assert threading.active_count() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("always")
def test_an_epoch_is_told_when_the_one_before_is_on_disk(data: SearchData, tmp_path: Path) -> None:
    path = tmp_path / "trial.pt"
    saved = [
        (metrics.epoch, [e.epoch for e in read_history(path)] if path.exists() else [])
        for metrics in train(CONFIG, data, checkpoint=path)
    ]
    assert saved == [(1, []), (2, [1]), (3, [1, 2])]
    assert [e.epoch for e in read_history(path)] == [1, 2, 3]


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("told", [1, 2, 3])
def test_a_stopped_training_writes_nothing_more(
    data: SearchData, tmp_path: Path, told: int
) -> None:
    """Whoever stops a trial removes its checkpoint first, and only then ends the training."""
    path = tmp_path / "trial.pt"
    epochs = train(CONFIG, data, checkpoint=path)
    for _ in range(told):
        next(epochs)
    path.unlink(missing_ok=True)
    epochs.close()  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []


def test_short_trainings_write_at_their_end_only(data: SearchData, tmp_path: Path) -> None:
    path = tmp_path / "trial.pt"
    seen = [path.exists() for _ in train(CONFIG, data, checkpoint=path)]
    assert seen == [False, False, False]
    assert [e.epoch for e in read_history(path)] == [1, 2, 3]


def test_what_is_sent_on_is_saved_after_each_epoch(data: SearchData, tmp_path: Path) -> None:
    """A node that goes without a word takes one epoch with it that has ended, at most."""
    path, arrived = tmp_path / "trial.pt", []
    for metrics in train(
        CONFIG, data, checkpoint=path, on_saved=lambda file: arrived.append(len(read_history(file)))
    ):
        assert arrived == list(range(1, metrics.epoch))
    assert arrived == [1, 2, 3]


def test_leftovers_of_a_killed_process_go(tmp_path: Path) -> None:
    path = tmp_path / "0001.pt"
    for name in (".0001.pt.77.tmp", ".0002.pt.77.tmp", "0001.pt"):
        (tmp_path / name).write_text("", encoding="utf-8")
    writer = CheckpointWriter(path, "identity")
    assert len(list(tmp_path.iterdir())) == 3  # nothing is removed before it is entered
    with writer:
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == [".0002.pt.77.tmp", "0001.pt"]
