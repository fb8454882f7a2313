"""Local response normalisation equals torch's, gradients included, and formulas worked by hand."""

import pytest
import torch
from torch import Tensor, nn

from trainables.models.local_response_norm import LocalResponseNorm


def both_ways(norm: nn.Module, features: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    leaf = features.clone().requires_grad_()
    normed = norm(leaf)
    normed.backward(gradient)
    assert leaf.grad is not None
    return normed.detach(), leaf.grad


@pytest.mark.parametrize("channels", [3, 7, 32])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_values_and_gradients_are_torchs(channels: int, scale: float) -> None:
    """At a scale of 300 the sum of squares outweighs the constant."""
    features = torch.randn(2, channels, 6, 6, generator=torch.Generator().manual_seed(0)) * scale
    features = features.contiguous(memory_format=torch.channels_last)
    gradient = torch.randn(features.shape, generator=torch.Generator().manual_seed(1))
    ours = both_ways(LocalResponseNorm(), features, gradient)
    theirs = both_ways(nn.LocalResponseNorm(5), features, gradient)
    for got, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-6)
    assert ours[0].is_contiguous(memory_format=torch.channels_last)


def test_a_value_worked_by_hand() -> None:
    """The window of channel 0 holds channels 0 to 2: 1 + 1e-4 / 5 · (100² + 200² + 300²) = 3.8."""
    features = torch.tensor([100.0, 200.0, 300.0, 400.0]).view(1, 4, 1, 1)
    assert LocalResponseNorm()(features)[0, 0].item() == pytest.approx(100 / 3.8**0.75, rel=1e-6)


def test_in_bfloat16_it_still_computes_in_float32() -> None:
    features = torch.full((1, 8, 2, 2), 30.0, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        normed = LocalResponseNorm()(features)
    wanted = nn.LocalResponseNorm(5)(features.float())
    assert normed.dtype == torch.bfloat16
    torch.testing.assert_close(normed, wanted.bfloat16())
    assert normed[0, 3, 0, 0] < 28.5
