"""Augmentation by the numbers: where pixels go, how much is erased, what labels become."""

from typing import Any

import pytest
import torch
from torch import Tensor

from datasets.splits import Images
from trainables.augmentation.batch import (
    cut_out,
    flip_and_shift,
    for_evaluation,
    for_training,
    normalise,
    resize,
)
from trainables.augmentation.mixing import mix_up
from trainables.config import TrialConfig

CONFIG = TrialConfig(network="resnet10", image_size=64)
IMAGES = Images(
    fingerprint="f",
    class_ids=("a", "b", "c"),
    class_names=("a", "b", "c"),
    size=64,
    mean=(0.481, 0.437, 0.394),
    std=(0.2, 0.25, 0.3),
)


@pytest.fixture
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (64, 64, 64, 3), dtype=torch.uint8, generator=generator)


def test_normalised_values(pixels: Tensor) -> None:
    batch = normalise(pixels, IMAGES)
    assert batch.shape == (64, 3, 64, 64)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    for channel in range(3):
        expected = (pixels[..., channel] / 255 - IMAGES.mean[channel]) / IMAGES.std[channel]
        torch.testing.assert_close(batch[:, channel], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "black", "white"),
    [
        ("half", (-127 / 128,) * 3, (1.0,) * 3),
        ("imagenet", (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
         (0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225)),
        ("unit", (0.0,) * 3, (1.0,) * 3),
    ],
)  # fmt: skip
def test_black_and_white_as_pretrained_weights_expect_them(
    kind: str, black: tuple[float, ...], white: tuple[float, ...]
) -> None:
    """In training and in evaluation alike."""
    config = CONFIG.but(normalise=kind)
    pixels = torch.stack([torch.zeros(64, 64, 3), torch.full((64, 64, 3), 255.0)]).byte()
    trained, _ = for_training(pixels, torch.tensor([0, 1]), config, IMAGES)
    for batch in (trained, for_evaluation(pixels, config, IMAGES)):
        for image, wanted in zip(batch, (black, white), strict=True):
            expected = torch.tensor(wanted)[:, None, None].expand(3, 64, 64)
            torch.testing.assert_close(image, expected, atol=1e-6, rtol=1e-6)


def test_flips_mirror_about_half_of_the_images_and_nothing_else(pixels: Tensor) -> None:
    torch.manual_seed(0)
    flipped = flip_and_shift(pixels, flip=True, crop=0)
    same = (flipped == pixels).flatten(1).all(1)
    mirrored = (flipped == pixels.flip(2)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 20 <= int(mirrored.sum()) <= 44


def test_shifts_reflect_at_the_border_and_cover_their_range() -> None:
    """Each pixel holds its own row and column, so that its source can be read off."""
    grid = torch.arange(32, dtype=torch.uint8)
    pixels = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), dim=-1)
    pixels = torch.cat([pixels, torch.zeros(32, 32, 1, dtype=torch.uint8)], dim=-1)
    batch = pixels.expand(500, 32, 32, 3)
    torch.manual_seed(0)
    shifted = flip_and_shift(batch, flip=False, crop=0.125).long()
    down, right = shifted[:, 16, 16, 0] - 16, shifted[:, 16, 16, 1] - 16
    assert set(down.tolist()) == set(right.tolist()) == set(range(-4, 5))
    assert not torch.equal(down, right)
    for row, column in ((0, 0), (31, 31), (0, 31), (5, 30)):
        for axis, wanted in ((0, row + down), (1, column + right)):
            reflected = torch.where(wanted > 31, 62 - wanted, wanted.abs())
            assert torch.equal(shifted[:, row, column, axis], reflected)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_cutout_erases_the_expected_area(share: float) -> None:
    """Uniform centres: a side of length L of S loses its overhang, on average near L²/4S."""
    batch = torch.ones(4000, 1, 32, 32).contiguous(memory_format=torch.channels_last)
    torch.manual_seed(0)
    cut_out(batch, share)
    length = round(share * 32)
    covered = [
        min(32, centre - length // 2 + length) - max(0, centre - length // 2)
        for centre in range(32)
    ]
    expected = (sum(covered) / 32) ** 2 / 32**2
    assert float((batch == 0).float().mean()) == pytest.approx(expected, rel=0.03)
    areas = (batch == 0).sum((1, 2, 3))
    assert int(areas.max()) == length**2
    assert int(areas.min()) >= (length // 2) ** 2
    assert len(areas.unique()) > 5


def test_cutout_fills_every_channel_with_the_mean(pixels: Tensor) -> None:
    config = CONFIG.but(cutout=0.5)
    torch.manual_seed(0)
    batch, _ = for_training(pixels, torch.zeros(64, dtype=torch.int64), config, IMAGES)
    erased = batch == 0
    assert torch.equal(erased[:, 0], erased[:, 1])
    assert torch.equal(erased[:, 0], erased[:, 2])
    assert torch.equal(batch[~erased], normalise(pixels, IMAGES)[~erased])


def test_resizing_keeps_the_mean_and_the_memory_format(pixels: Tensor) -> None:
    for side in (32, 64, 128):
        batch = resize(normalise(pixels, IMAGES), side)
        assert batch.shape == (64, 3, side, side)
        assert batch.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(
            batch.mean((0, 2, 3)), normalise(pixels, IMAGES).mean((0, 2, 3)), atol=5e-3, rtol=0
        )


def test_evaluation_ignores_every_augmentation(pixels: Tensor) -> None:
    strong = CONFIG.but(
        flip=True, crop=0.2, cutout=0.5, mixup_alpha=1.0, cutmix_alpha=1.0, policy="trivial"
    )
    assert torch.equal(for_evaluation(pixels, strong, IMAGES), normalise(pixels, IMAGES))


@pytest.mark.parametrize(
    "changes",
    [{"mixup_alpha": 1.0}, {"cutmix_alpha": 1.0, "policy": "trivial"}, {"policy": "rand"}],
)
def test_one_seed_gives_one_batch(pixels: Tensor, changes: dict[str, Any]) -> None:
    strong = CONFIG.but(flip=True, crop=0.2, cutout=0.5, image_size=96, **changes)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(for_training(pixels, torch.arange(64) % 3, strong, IMAGES))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][0], results[2][0])
    assert results[0][0].is_contiguous(memory_format=torch.channels_last)


def test_without_augmentation_training_sees_the_clean_images(pixels: Tensor) -> None:
    labels = torch.arange(64) % 3
    batch, targets = for_training(pixels, labels, CONFIG, IMAGES)
    assert torch.equal(batch, for_evaluation(pixels, CONFIG, IMAGES))
    assert torch.equal(targets, labels)


def test_what_is_off_draws_nothing(pixels: Tensor) -> None:
    """So that a seed goes on giving the numbers that it gave before there was more to turn on."""
    labels = torch.arange(64) % 3
    torch.manual_seed(7)
    before = torch.get_rng_state()
    for_training(pixels, labels, CONFIG, IMAGES)
    assert torch.equal(torch.get_rng_state(), before)

    config = CONFIG.but(flip=True, crop=0.1, cutout=0.25, mixup_alpha=0.4, image_size=48)
    batch, targets = for_training(pixels, labels, config, IMAGES)
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    expected = normalise(flip_and_shift(pixels, flip=True, crop=0.1), IMAGES)
    cut_out(expected, 0.25)
    expected, mixed = mix_up(resize(expected, 48), labels, 0.4, 3)
    assert torch.equal(batch, expected)
    assert torch.equal(targets, mixed)
    assert torch.equal(torch.get_rng_state(), after)
