"""Each architecture against its description: shapes, parameter counts, stages, heads."""

import pytest
import timm
import torch
from torch import Tensor, nn

from trainables.catalog import NETWORKS
from trainables.config import TrialConfig
from trainables.models.mini_alexnet import SIDE
from trainables.models.network import Network, build, freeze
from trainables.training.optimizer import make_optimizer
from trainables.training.step import train_step


def parameters(config: TrialConfig, num_classes: int) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build(config, num_classes).parameters())


def shapes(network: Network, side: int) -> list[tuple[int, ...]]:
    """(channels, height, width) after each stage."""
    features, found = torch.zeros(1, 3, side, side), []
    for stage in network.eval().stages.values():
        features = stage(features)
        found.append(tuple(features.shape[1:]))
    return found


def test_the_published_parameter_counts() -> None:
    """Convolutions and dense layers of the five-convolution network, summed by hand."""
    convolutions = sum(
        9 * a * b + b for a, b in ((3, 32), (32, 64), (64, 128), (128, 128), (128, 64))
    )
    dense = sum(a * b + b for a, b in ((64 * 8 * 8, 1024), (1024, 512), (512, 20)))
    assert parameters(TrialConfig(network="mini_alexnet"), 20) == convolutions + dense == 5_045_012
    assert parameters(TrialConfig(network="resnet50", head_width=1024), 100) == 25_708_708
    assert parameters(TrialConfig(network="efficientnet_lite0"), 1000) == 4_652_008
    assert parameters(TrialConfig(network="wide_concat"), 200) == 4_551_208


def test_what_keras_counts_beside_our_resnet50() -> None:
    """A bias for every convolution's output, and two statistics for every normalised channel."""
    with torch.device("meta"):
        network = build(TrialConfig(network="resnet50", head_width=1024), 100)
    channels = sum(m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d))
    assert channels == 26_560
    assert 25_708_708 + channels + 2 * channels == 25_788_388


def test_shapes_of_mini_alexnet() -> None:
    network = build(TrialConfig(network="mini_alexnet"), 20)
    assert shapes(network, 64) == [
        (32, 32, 32), (64, 16, 16), (128, 16, 16), (128, 16, 16), (64, SIDE, SIDE)
    ]  # fmt: skip
    for side in (32, 96):
        assert network(torch.zeros(2, 3, side, side)).shape == (2, 20)


def test_mini_alexnet_starts_from_keras_weights() -> None:
    """Glorot's variance, 2 / (inputs + outputs), a kernel's places counted in both; no biases."""
    network = build(TrialConfig(network="mini_alexnet"), 20)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 8
    for layer in layers:
        places = layer.weight[0, 0].numel()
        fans = (layer.weight.shape[0] + layer.weight.shape[1]) * places
        assert layer.weight.var().item() == pytest.approx(2 / fans, rel=0.1)
        assert not layer.bias.any()


def test_at_64_pixels_the_last_map_goes_to_the_dense_layers_as_it_is() -> None:
    network = build(TrialConfig(network="mini_alexnet"), 20).eval()
    maps = torch.randn(2, 64, SIDE, SIDE)
    hidden = torch.relu(network.head.dense2(torch.relu(network.head.dense1(maps.flatten(1)))))
    torch.testing.assert_close(network.head(maps), network.head.fc(hidden))


def test_shapes_of_wide_concat() -> None:
    """Channels double from stage to stage as the side is halved."""
    network = build(TrialConfig(network="wide_concat"), 20)
    assert shapes(network, 64) == [
        (32, 32, 32), (64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 4, 4)
    ]  # fmt: skip


def test_blocks_of_wide_concat_hand_their_input_on() -> None:
    block = build(TrialConfig(network="wide_concat"), 5).eval().stages.stage1.block2
    features = torch.randn(1, 64, 8, 8)
    made = block(features.clone())
    assert made.shape == (1, 96, 8, 8)
    assert torch.equal(made[:, :64], features)
    assert made[:, 64:].abs().sum() > 0


def test_efficientnet_lite0_is_timms_with_tensorflows_padding() -> None:
    torch.manual_seed(0)
    source = timm.create_model("tf_efficientnet_lite0", num_classes=7).eval()
    torch.manual_seed(0)
    network = build(TrialConfig(network="efficientnet_lite0"), 7).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), source(images), atol=1e-5, rtol=1e-5)


def test_the_head_has_a_dense_layer_of_the_width_asked_for() -> None:
    network = build(TrialConfig(network="resnet10", head_width=16, dropout=0.5), 5).eval()
    names = list(dict(network.head.named_children()))
    assert names == ["pool", "flatten", "hidden", "hidden_relu", "dropout", "fc"]
    maps = torch.randn(3, 512, 2, 2)
    hidden = torch.relu(network.head.hidden(maps.mean((2, 3))))
    assert hidden.shape == (3, 16)
    torch.testing.assert_close(network.head(maps), network.head.fc(hidden))


@pytest.mark.parametrize("name", ["mini_alexnet", "wide_concat", "efficientnet_lite0"])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_step_moves_exactly_what_is_not_frozen(name: str, share: float) -> None:
    config = TrialConfig(network=name, image_size=32, head_width=8, precision="float32")
    network = build(config, 5)
    assert tuple(network.stages) == NETWORKS[name].stages
    freeze(network, round(share * len(network.stages)))
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    optimizer = make_optimizer(network, config)
    images, labels = torch.randn(8, 3, 32, 32), torch.arange(8) % 5
    for _ in range(2):
        train_step(network.train(), optimizer, images, labels, config)
    moved = {key for key, tensor in network.state_dict().items() if differs(tensor, before[key])}
    assert moved == set(network.trained_state())


def differs(one: Tensor, other: Tensor) -> bool:
    return not torch.equal(one, other)
