"""Training in float16 on the CPU: what the scaler skips, counts, stores, and calls a divergence.

A CPU takes seconds for a step of a ResNet in float16, so a network of two layers trains here.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from datasets.access import open_search_data
from datasets.splits import SearchData
from results.records import EpochMetrics
from tests.trainables.training.small_network import small_network
from trainables.config import TrialConfig
from trainables.models.network import Network
from trainables.train import train
from trainables.training import auxiliary_state, checkpoint, checkpoint_writer
from trainables.training.auxiliary_state import AuxiliaryState
from trainables.training.loss_scaling import HOPELESS, LossScaler
from trainables.training.optimizer import make_optimizer
from trainables.training.step import train_step

CPU = torch.device("cpu")
CONFIG = TrialConfig(
    network="resnet10", image_size=32, batch_size=16, epochs=2, lr=2e-3, flip=True,
    precision="float16",
)  # fmt: skip
CLOCK = ("images_per_s", "train_s", "wall_s", "start_s", "idle_s", "loading_s", "peak_memory_bytes")
LARGE = 2.0**100
"""With this scale, every gradient overflows float16, and most overflow float32."""


@pytest.fixture
def data(tiny_data: Path) -> SearchData:
    return open_search_data(tiny_data)


def numbers(epochs: list[EpochMetrics]) -> list[dict[str, Any]]:
    return [{k: v for k, v in asdict(e).items() if k not in CLOCK} for e in epochs]


def scaler_at(scale: float) -> LossScaler:
    """A scaler that has skipped nothing, with this scale."""
    scaler = LossScaler(CPU)
    scaler.load_state_dict(scaler.state_dict() | {"scale": scale})
    return scaler


def batch() -> tuple[Tensor, Tensor]:
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return images.contiguous(memory_format=torch.channels_last), torch.arange(8) % 4


def weights_of(network: Network) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def test_it_learns_and_resumes_to_the_same_numbers(
    data: SearchData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a scale at which two steps overflow, so that the state of the scaler counts: a resumed
    training that began with its own scale would skip two steps again.
    """
    monkeypatch.setattr(checkpoint_writer, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(auxiliary_state, "LossScaler", lambda _: scaler_at(2.0**19))
    config = CONFIG.but(ema=0.5, epochs=3, lr=0.05)
    whole = list(train(config, data, network=small_network(CONFIG)))
    assert [e.skipped_steps for e in whole] == [2, 0, 0]
    losses = [e.train_loss for e in whole]
    assert losses[0] is not None
    assert losses[2] is not None
    assert losses[2] < losses[0]
    path = tmp_path / "trial.pt"
    begun = train(config, data, checkpoint=path, network=small_network(CONFIG))
    assert numbers([next(begun), next(begun)]) == numbers(whole[:2])
    begun.close()  # type: ignore[attr-defined]
    assert set(torch.load(path)["carried"]) == {"average", "scaler"}
    assert numbers(list(train(config, data, path, network=small_network(CONFIG)))) == numbers(
        whole[1:]
    )


@pytest.mark.parametrize("pieces", [None, 3])
@pytest.mark.parametrize(
    "changes",
    [{"optimizer": "adam"}, {"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "sgd"}],
)
def test_a_step_that_overflows_changes_nothing_and_the_next_ones_train(
    changes: dict[str, Any], pieces: int | None
) -> None:
    config = CONFIG.but(**changes, micro_batch_size=pieces)
    network = small_network(config)
    optimizer = make_optimizer(network, config)
    scaler = scaler_at(LARGE)
    before = weights_of(network)
    loss = train_step(network, optimizer, *batch(), config, scaler=scaler)
    assert torch.isfinite(loss)
    assert all(map(torch.equal, before, weights_of(network)))
    assert scaler.state_dict()["scale"] == LARGE / 2
    resumed = LossScaler(CPU)
    resumed.load_state_dict(scaler.state_dict())
    assert resumed.take_skipped() == 1
    assert scaler.take_skipped() == 1
    assert scaler.take_skipped() == 0
    scaler.load_state_dict(scaler.state_dict() | {"scale": 256.0})
    losses = [train_step(network, optimizer, *batch(), config, scaler=scaler) for _ in range(3)]
    assert scaler.take_skipped() == 0
    assert not any(map(torch.equal, before, weights_of(network)))
    assert all(torch.isfinite(weight).all() for weight in network.parameters())
    assert losses[-1] < losses[0]


def test_the_scale_leaves_the_steps_as_they_are() -> None:
    """Two scales, both powers of two, give weights that differ by float16's smallest numbers."""
    outcomes = []
    for scale in (256.0, 1024.0):
        config = CONFIG.but(optimizer="sgd", lr=0.1, micro_batch_size=4)
        network = small_network(config)
        optimizer = make_optimizer(network, config)
        scaler = scaler_at(scale)
        for _ in range(2):
            train_step(network, optimizer, *batch(), config, scaler=scaler)
        outcomes.append(weights_of(network))
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_gradients_that_never_fit_are_a_divergence() -> None:
    """The loss stays finite, but the weights would never change again."""
    network = small_network(CONFIG)
    optimizer = make_optimizer(network, CONFIG)
    scaler = LossScaler(CPU)
    for parameter in network.parameters():
        parameter.register_hook(lambda gradient: gradient + torch.inf)
    images, labels = batch()
    small = images[:2], labels[:2]
    losses = [
        float(train_step(network, optimizer, *small, CONFIG, scaler=scaler))
        for _ in range(HOPELESS)
    ]
    assert all(loss == loss for loss in losses[:-1])
    assert losses[-1] != losses[-1]
    assert scaler.take_skipped() == HOPELESS


def test_a_loss_that_is_not_finite_is_a_divergence(data: SearchData) -> None:
    network = small_network(CONFIG)
    with torch.no_grad():
        network.head.fc.weight.mul_(torch.inf)  # type: ignore[union-attr]
    metrics = next(train(CONFIG, data, network=network))
    assert metrics.train_loss is None


def test_other_precisions_have_no_scaler() -> None:
    """So their checkpoints hold what those of earlier versions held."""
    config = CONFIG.but(precision="bfloat16")
    network = small_network(config)
    auxiliary = AuxiliaryState.begin(config, network, 4, CPU)
    assert auxiliary.scaler is None
    assert auxiliary.take_skipped_steps() == 0
    content = checkpoint.snapshot(network, make_optimizer(network, config), [], "", auxiliary)
    assert content["carried"] == {}


def test_records_of_earlier_versions_skipped_nothing(data: SearchData) -> None:
    config = CONFIG.but(precision="float32")
    metrics = next(train(config, data, network=small_network(config)))
    record = asdict(metrics)
    assert record.pop("skipped_steps") == 0
    assert EpochMetrics.from_json(record) == metrics
