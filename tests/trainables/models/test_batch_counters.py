"""Counters of BatchNorm layers that rise together are those that rise one by one."""

import pytest
import torch

from trainables.config import TrialConfig
from trainables.models.batch_counters import BatchCounters
from trainables.models.network import Network, build, freeze

CONFIG = TrialConfig(network="resnet10", image_size=32)
IMAGES = torch.randn(2, 3, 32, 32)


def counts(network: Network) -> dict[str, int]:
    return {n: int(t) for n, t in network.state_dict().items() if n.endswith("batches_tracked")}


@pytest.mark.parametrize("depth", [0, 2])
def test_they_count_what_torch_counts(depth: int) -> None:
    torch.manual_seed(0)
    network = build(CONFIG, 4)
    freeze(network, depth)
    plain = build(CONFIG, 4)
    plain.load_state_dict(network.state_dict())
    freeze(plain, depth)
    plain.counters = BatchCounters()
    for _ in range(3):
        assert torch.equal(network.train()(IMAGES), plain.train()(IMAGES))
    network.eval()(IMAGES)
    assert counts(network) == counts(plain)
    assert set(counts(network).values()) == ({0, 3} if depth else {3})
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, plain.state_dict()[name]), name


def test_after_an_error_nothing_is_counted() -> None:
    network = build(CONFIG, 4)
    freeze(network, 0)
    with pytest.raises(RuntimeError):
        network.train()(torch.randn(2, 4, 32, 32))
    assert set(counts(network).values()) == {0}


def test_a_layer_that_averages_by_its_counter_keeps_it() -> None:
    layer = torch.nn.BatchNorm1d(1, momentum=None)
    with BatchCounters([layer, torch.nn.BatchNorm1d(1, track_running_stats=False)]).together():
        layer(torch.tensor([[1.0], [2.0]]))
        layer(torch.tensor([[3.0], [4.0]]))
    assert layer.num_batches_tracked is not None
    assert int(layer.num_batches_tracked) == 2
    assert layer.running_mean is not None
    assert float(layer.running_mean) == 2.5
