"""MixUp and CutMix by the numbers: whose pixels, how many, and what the labels become."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Beta
from torchvision.transforms import v2

from trainables.augmentation.mixing import (
    _draw_weights,
    blend,
    box_weights,
    cut_mix,
    mix,
    mix_up,
)
from trainables.config import TrialConfig

CONFIG = TrialConfig(network="resnet10")
LABELS = torch.arange(8) % 3


@pytest.fixture
def batch() -> Tensor:
    """8 images whose pixels all hold their own number, so that a pixel's source can be read off."""
    numbers = torch.arange(8.0)[:, None, None, None].expand(8, 3, 32, 40)
    return numbers.contiguous(memory_format=torch.channels_last)


def noise() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 32, 40, generator=generator)
    return images.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
@pytest.mark.parametrize(("ours", "theirs"), [(mix_up, v2.MixUp), (cut_mix, v2.CutMix)])
def test_it_is_torchvisions_to_rounding(ours, theirs, alpha: float) -> None:  # type: ignore[no-untyped-def]
    for seed in range(5):
        torch.manual_seed(seed)
        expected, expected_targets = theirs(alpha=alpha, num_classes=3)(noise(), LABELS)
        torch.manual_seed(seed)
        mixed, targets = ours(noise(), LABELS, alpha, 3)
        torch.testing.assert_close(mixed, expected)
        torch.testing.assert_close(targets, expected_targets)
        assert mixed.is_contiguous(memory_format=torch.channels_last)


def test_mixup_mixes_labels_as_the_images(batch: Tensor) -> None:
    torch.manual_seed(5)
    mixed, targets = mix_up(batch, LABELS, 1.0, 3)
    torch.testing.assert_close(targets.sum(1), torch.ones(8))
    share = float(targets[1, 1])
    assert 0.01 < share < 0.99
    torch.testing.assert_close(mixed[3], torch.full((3, 32, 40), 3 * share + 2 * (1 - share)))


def test_a_cutmix_box_by_hand(monkeypatch: pytest.MonkeyPatch, batch: Tensor) -> None:
    """λ = 0.75: a box of half the sides, 20 × 16, about column 5 and row 20 of 40 × 32."""
    monkeypatch.setattr(Beta, "sample", lambda self: torch.tensor(0.75))
    centres = iter([5, 20])
    monkeypatch.setattr(torch, "randint", lambda size, shape: torch.tensor([next(centres)]))
    mixed, targets = cut_mix(batch, LABELS, 1.0, 3)
    expected = torch.arange(8.0)[:, None, None].repeat(1, 32, 40)
    expected[:, 12:28, 0:15] = torch.arange(8.0).roll(1)[:, None, None]
    for channel in range(3):
        assert torch.equal(mixed[:, channel], expected)
    taken = 16 * 15 / (32 * 40)
    # image 1 (label 1) with a box of image 0 (label 0); image 0 (0) with a box of image 7 (1)
    torch.testing.assert_close(targets[1], torch.tensor([taken, 1 - taken, 0]))
    torch.testing.assert_close(targets[0], torch.tensor([1 - taken, taken, 0]))


def test_cutmix_targets_are_the_areas(batch: Tensor) -> None:
    torch.manual_seed(0)
    for _ in range(50):
        mixed, targets = cut_mix(batch.clone(), torch.arange(8), 1.0, 8)
        torch.testing.assert_close(targets.sum(1), torch.ones(8))
        own = (mixed[:, 0] == torch.arange(8.0)[:, None, None]).float().mean((1, 2))
        torch.testing.assert_close(targets.diagonal(), own)


def test_with_both_on_each_batch_gets_one_of_them(batch: Tensor) -> None:
    config = CONFIG.but(mixup_alpha=1.0, cutmix_alpha=1.0)
    torch.manual_seed(0)
    whole = 0
    for _ in range(400):
        mixed, _ = mix(batch.clone(), LABELS, config, 3)
        whole += bool((mixed == mixed.round()).all())  # CutMix leaves every value as it was
    assert 160 < whole < 240


def test_with_both_off_nothing_is_changed(batch: Tensor) -> None:
    mixed, targets = mix(batch, LABELS, CONFIG, 3)
    assert mixed is batch
    assert targets is LABELS


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("centre", [(5, 20), (39, 0), (17, 31)])
def test_weights_give_the_box_that_slices_give(
    monkeypatch: pytest.MonkeyPatch, batch: Tensor, share: float, centre: tuple[int, int]
) -> None:
    """The way of a GPU, run here with the same draws."""
    monkeypatch.setattr(Beta, "sample", lambda self: torch.tensor(share))
    centres = iter(centre)
    monkeypatch.setattr(torch, "randint", lambda size, shape: torch.tensor([next(centres)]))
    weights = box_weights(torch.tensor(share), *map(torch.tensor, centre), 32, 40)
    mixed, targets = blend(batch, weights), blend(torch.eye(3)[LABELS], weights.mean())
    expected, expected_targets = cut_mix(batch.clone(), LABELS, 1.0, 3)
    assert torch.equal(mixed, expected)
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(targets, expected_targets)


def test_a_share_on_the_device_blends_as_a_number(batch: Tensor) -> None:
    images = noise()
    assert torch.equal(blend(images, torch.tensor(0.3)), blend(images, float(torch.tensor(0.3))))


def test_what_a_gpu_draws(batch: Tensor) -> None:
    """With both methods on, about half of the batches get a box; shares follow Beta(2, 2)."""
    torch.manual_seed(0)
    drawn = [_draw_weights(batch, 2.0, 2.0) for _ in range(400)]
    boxes = [weights for weights in drawn if set(weights.unique().tolist()) <= {0.0, 1.0}]
    shares = torch.stack([weights[0, 0] for weights in drawn if weights.unique().numel() == 1])
    assert 160 < len(boxes) < 240
    assert all(weights.shape == (32, 40) for weights in drawn)
    shares = shares[(shares > 0) & (shares < 1)]
    assert 0.45 < shares.mean() < 0.55
    assert 0.19 < shares.std() < 0.26  # √0.05 = 0.224
    assert _draw_weights(batch, 1.0, 0.0).shape == ()
    assert set(_draw_weights(batch, 0.0, 1.0).unique().tolist()) <= {0.0, 1.0}
