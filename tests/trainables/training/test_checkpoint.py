"""Checkpoints: complete or refused, and without what doesn't train."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from results.records import EpochMetrics
from trainables.config import TrialConfig
from trainables.models.network import Network
from trainables.models.setup import new_network
from trainables.training import checkpoint
from trainables.training.checkpoint import CheckpointError
from trainables.training.optimizer import make_optimizer
from trainables.training.step import train_step

CPU = torch.device("cpu")
CONFIG = TrialConfig(network="resnet10", image_size=32, precision="float32")
EPOCH = EpochMetrics(
    epoch=1,
    train_loss=None,
    train_top1=0.5,
    val_loss=1.0,
    val_top1=0.4,
    val_top5=1.0,
    gap=0.1,
    lr=0.1,
    images_per_s=10.0,
    train_s=1.0,
    wall_s=2.0,
    peak_memory_bytes=5,
)


def write(path: Path, config: TrialConfig = CONFIG, data: str = "data") -> Network:
    """A checkpoint after one step of training."""
    network = new_network(config, 4, CPU)
    optimizer = make_optimizer(network, config)
    images, labels = torch.randn(4, 3, 32, 32), torch.arange(4)
    train_step(network, optimizer, images, labels, config)
    identity = checkpoint.training_key(config, data, network)
    checkpoint.write(path, checkpoint.snapshot(network, optimizer, [EPOCH], identity))
    return network


def read(path: Path, config: TrialConfig = CONFIG, data: str = "data") -> Network:
    network = new_network(config, 4, CPU)
    optimizer = make_optimizer(network, config)
    identity = checkpoint.training_key(config, data, network)
    assert checkpoint.load(path, network, optimizer, identity) == ([EPOCH], None)
    return network


@pytest.mark.parametrize("depth", [0, 3])
def test_what_is_saved_is_read_back(tmp_path: Path, depth: int) -> None:
    config = CONFIG.but(freeze_depth=depth)
    path = tmp_path / "a" / "trial.pt"
    saved, restored = write(path, config).state_dict(), read(path, config).state_dict()
    for name, tensor in saved.items():
        assert torch.equal(tensor, restored[name]), name
    assert checkpoint.read_history(path) == [EPOCH]
    assert [p.name for p in path.parent.iterdir()] == ["trial.pt"]


def test_frozen_stages_take_no_space(tmp_path: Path) -> None:
    write(tmp_path / "all.pt")
    write(tmp_path / "head.pt", CONFIG.but(freeze_depth=5))
    everything, head = ((tmp_path / n).stat().st_size for n in ("all.pt", "head.pt"))
    assert everything > 50e6  # weights and Adam's two moments of 4.9 million parameters
    assert head < 100e3


def test_another_trainings_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trial.pt"
    write(path, CONFIG.but(freeze_depth=2))
    with pytest.raises(CheckpointError, match="same configuration"):
        read(path, CONFIG.but(freeze_depth=2, lr=0.5))
    with pytest.raises(CheckpointError, match="same configuration"):
        read(path, CONFIG.but(freeze_depth=2), data="other data")
    read(path, CONFIG.but(freeze_depth=2))


@dataclass(frozen=True, kw_only=True)
class Later(TrialConfig):
    """What a later version may read: one field more."""

    strength: float = 0.0


def test_a_field_that_came_later_counts_unless_it_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "trial.pt"
    write(path)
    read(path, Later(**CONFIG.to_dict()))
    with pytest.raises(CheckpointError, match="same configuration"):
        read(path, Later(**CONFIG.to_dict(), strength=0.5))


def test_other_frozen_weights_are_refused(tmp_path: Path) -> None:
    config = CONFIG.but(freeze_depth=1)
    path = tmp_path / "trial.pt"
    write(path, config)
    network = new_network(config, 4, CPU)
    with torch.no_grad():
        network.stages.stem.conv1.weight[0, 0, 0, 0] += 1  # type: ignore[union-attr,operator,index]
    identity = checkpoint.training_key(config, "data", network)
    with pytest.raises(CheckpointError, match="frozen weights"):
        checkpoint.load(path, network, make_optimizer(network, config), identity)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_cut_off_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "trial.pt"
    write(path, CONFIG.but(freeze_depth=4))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="damaged"):
        read(path, CONFIG.but(freeze_depth=4))


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "trial.pt"
    config = CONFIG.but(freeze_depth=4)
    write(path, config)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        read(path, config)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "trial.pt"
    torch.save({"network": {}}, path)
    with pytest.raises(CheckpointError, match="damaged or is something else"):
        checkpoint.read_history(path)
    path.write_text("not a checkpoint", encoding="utf-8")
    with pytest.raises(CheckpointError, match="damaged or is something else"):
        checkpoint.read_history(path)
    with pytest.raises(CheckpointError, match="is none"):
        checkpoint.read_history(tmp_path)


def test_a_failed_write_keeps_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trial.pt"
    write(path)
    before = path.read_bytes()

    def disk_full(content: object, file: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["trial.pt"]


def test_the_fields_of_the_schedule_step_change_no_identity_at_what_they_always_were() -> None:
    """A checkpoint of a version that wrote them into every configuration goes on."""
    network = new_network(CONFIG, 4, CPU)
    for schedule in ("cosine", "step"):
        given = {"network": "resnet10", "image_size": 32, "precision": "float32"}
        given |= {"schedule": schedule} if schedule != "cosine" else {}
        before = hashlib.sha256(json.dumps(given, sort_keys=True).encode() + b"data").hexdigest()
        config = CONFIG.but(schedule=schedule)
        assert checkpoint.training_key(config, "data", network) == before
        assert checkpoint.training_key(config.with_defaults(), "data", network) == before
    other = CONFIG.but(schedule="step", step_epochs=3)
    assert checkpoint.training_key(other, "data", network) != before
