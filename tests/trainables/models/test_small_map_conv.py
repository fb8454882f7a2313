"""Convolutions over tiny maps as matrix products: the same function, the same training."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from datasets.access import open_search_data
from trainables import train as training
from trainables.config import TrialConfig
from trainables.models import setup
from trainables.models.network import build
from trainables.models.small_map_conv import SmallMapConv2d, use_matrix_products


def _outcome(conv: nn.Module, maps: Tensor) -> list[Tensor]:
    """The output, and the gradients of a weighted sum of it."""
    maps = maps.detach().requires_grad_()
    out = conv(maps)
    torch.manual_seed(1)
    (out.float() * torch.randn(out.shape)).sum().backward()
    gradients = [p.grad for p in conv.parameters()]
    for p in conv.parameters():
        p.grad = None
    return [out, maps.grad, *gradients]  # type: ignore[list-item]


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (4, 3), (4, 4), (5, 4)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_output_and_gradients_are_the_convolutions(
    shape: tuple[int, int], stride: int, bias: bool
) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(5, 7, 3, stride=stride, padding=1, bias=bias)
    plain = plain.to(memory_format=torch.channels_last)
    maps = torch.randn(4, 5, *shape).contiguous(memory_format=torch.channels_last)
    for expected, got in zip(
        _outcome(plain, maps), _outcome(SmallMapConv2d(plain), maps), strict=True
    ):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_under_autocast_it_multiplies_in_bfloat16_and_the_gradient_is_float32() -> None:
    torch.manual_seed(0)
    conv = SmallMapConv2d(nn.Conv2d(64, 32, 3, padding=1))
    maps = torch.randn(8, 64, 2, 2)
    exact = conv(maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = conv(maps)
        rounded.float().sum().backward()
    assert rounded.dtype == torch.bfloat16
    assert conv.weight.grad is not None
    assert conv.weight.grad.dtype == torch.float32
    gradient = conv.weight.grad.clone()
    conv.weight.grad = None
    nn.functional.conv2d(maps, conv.weight, padding=1).sum().backward()
    torch.testing.assert_close(gradient, conv.weight.grad, atol=0.3, rtol=2e-2)
    # Inputs and weights keep 8 bits each: errors of 2⁻⁸ of a sum of about 1.
    torch.testing.assert_close(rounded.float(), exact, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 4, 1),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, padding=1, stride=(1, 2)),
    ],
)
def test_other_convolutions_stay(conv: nn.Conv2d) -> None:
    network = nn.Sequential(conv)
    use_matrix_products(network)
    assert network[0] is conv


def test_a_network_keeps_its_parameters_and_their_names() -> None:
    network = build(TrialConfig(network="resnet50"), 10)
    before = dict(network.named_parameters())
    names = list(network.state_dict())
    use_matrix_products(network)
    after = dict(network.named_parameters())
    assert list(network.state_dict()) == names
    assert all(after[name] is p for name, p in before.items())
    assert sum(isinstance(m, SmallMapConv2d) for m in network.modules()) == 16


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.05)])
def test_training_gives_the_plain_convolutions_losses(
    tiny_data: Path, precision: str, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_search_data(tiny_data)
    few = replace(data.train, indices=data.train.indices[:16])  # many CPUs emulate bfloat16
    data = replace(data, train=few)
    config = TrialConfig(
        network="resnet10", image_size=64, batch_size=4, lr=1e-3, epochs=1, precision=precision
    )
    fast = next(training.train(config, data))
    monkeypatch.setattr(setup, "use_matrix_products", lambda _: None)
    plain = next(training.train(config, data))
    assert fast.train_loss == pytest.approx(plain.train_loss, rel=tolerance)
    assert fast.val_loss == pytest.approx(plain.val_loss, rel=tolerance)
    if precision == "float32":
        assert (fast.train_top1, fast.val_top1) == (plain.train_top1, plain.val_top1)
