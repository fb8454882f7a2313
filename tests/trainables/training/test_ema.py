"""The average by hand, and as what a training evaluates, goes on from and leaves."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from datasets.access import open_search_data
from datasets.splits import SearchData
from trainables.config import TrialConfig
from trainables.models.network import Network
from trainables.models.setup import new_network
from trainables.train import train
from trainables.training import step as training
from trainables.training.ema import WeightAverage
from trainables.training.evaluate import evaluate

CPU = torch.device("cpu")
CONFIG = TrialConfig(
    network="resnet10", image_size=32, batch_size=24, epochs=2, ema=0.9, precision="float32"
)


@pytest.fixture
def data(tiny_data: Path) -> SearchData:
    return open_search_data(tiny_data)


def one_weight() -> tuple[Network, Tensor]:
    """A network of one weight, which is 0."""
    head = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(head.weight)
    return Network(OrderedDict(), head), head.weight


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        (0.999, [0.9, 1.8, 2.7]),  # d = 1/10, 2/11, 3/12
        (0.15, [0.9, 0.15 * 0.9 + 0.85 * 2, 0.15 * (0.15 * 0.9 + 0.85 * 2) + 0.85 * 3]),
    ],
)
def test_an_average_by_hand(decay: float, expected: list[float]) -> None:
    network, weight = one_weight()
    average = WeightAverage(network, decay)
    for value, wanted in zip((1.0, 2.0, 3.0), expected, strict=True):
        nn.init.constant_(weight, value)
        average.update()
        with average.applied():
            assert weight.item() == pytest.approx(wanted)
        assert weight.item() == value


def test_in_the_long_run_the_decay_is_the_configured_one() -> None:
    network, weight = one_weight()
    average = WeightAverage(network, 0.9)
    for _ in range(100):
        average.update()
    nn.init.ones_(weight)
    average.update()
    average.swap()
    assert weight.item() == pytest.approx(0.1)


def test_statistics_are_averaged_and_counters_copied() -> None:
    norm = nn.BatchNorm1d(1, momentum=1.0)
    network = Network(OrderedDict(), norm)
    average = WeightAverage(network, 0.5)
    for _ in range(3):
        norm(torch.tensor([[9.0], [11.0]]))
        average.update()
    with average.applied():
        # 0 -> 9, 9.5, 9.75 with d = 0.1, 2/11, 0.25
        expected = 0.9 * 10
        expected += (10 - expected) * 9 / 11
        expected += (10 - expected) * 0.75
        assert norm.running_mean is not None
        assert norm.running_mean.item() == pytest.approx(expected)
        assert norm.num_batches_tracked is not None
        assert norm.num_batches_tracked.item() == 3
    assert norm.running_mean.item() == 10


def test_frozen_stages_are_not_copied() -> None:
    network = new_network(CONFIG.but(freeze_depth=4), 4, CPU)
    average = WeightAverage(network, 0.9)
    names = average.state_dict()["average"].keys()
    assert names == network.trained_state().keys()
    assert {name.split(".")[1] for name in names} == {"layer4", "fc"}


def test_an_error_gives_the_weights_back() -> None:
    network, weight = one_weight()
    average = WeightAverage(network, 0.9)
    nn.init.ones_(weight)

    def interrupted() -> None:
        with average.applied():
            assert weight.item() == 0
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert weight.item() == 1


def test_a_training_evaluates_and_leaves_the_average(
    data: SearchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside it the same average, made from copies of the weights after each step."""
    network = new_network(CONFIG, 4, CPU)
    expected = {name: tensor.double() for name, tensor in network.state_dict().items()}
    step, steps = training.train_step, 0

    def watched(*arguments: Any) -> Tensor:
        nonlocal steps
        loss = step(*arguments)
        decay = min(0.9, (1 + steps) / (10 + steps))
        for name, tensor in network.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor.double()
        steps += 1
        return loss

    monkeypatch.setattr(training, "train_step", watched)
    told = list(train(CONFIG, data, network=network))
    assert steps == 6
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-6)
    again = evaluate(network, data.val, data.images, CONFIG, CPU)
    assert again.loss == told[-1].val_loss


def test_training_itself_is_not_changed(data: SearchData) -> None:
    averaged, plain = list(train(CONFIG, data)), list(train(CONFIG.but(ema=0.0), data))
    assert [e.train_loss for e in averaged] == [e.train_loss for e in plain]
    assert [e.val_loss for e in averaged] != [e.val_loss for e in plain]


def test_resumed_after_the_last_epoch_it_leaves_the_same_network(
    data: SearchData, tmp_path: Path
) -> None:
    path = tmp_path / "trial.pt"
    whole, resumed = new_network(CONFIG, 4, CPU), new_network(CONFIG, 4, CPU)
    list(train(CONFIG, data, checkpoint=path, network=whole))
    assert list(train(CONFIG, data, path, network=resumed)) == []
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
