"""Policies against torchvision's: each operation, each range, and how often each is drawn."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms import v2

from trainables.augmentation import policies
from trainables.augmentation.policies import (
    OPERATIONS,
    apply_operations,
    apply_policy,
    apply_to_whole_batch,
    magnitudes,
)
from trainables.config import TrialConfig

CONFIG = TrialConfig(network="resnet10")
THEIRS = {"trivial": v2.TrivialAugmentWide(), "rand": v2.RandAugment()}
SIDE = 32


def smooth_images(count: int) -> Tensor:
    """uint8 (count, 32, 32, 3): smooth colours with some noise; the last one is of one colour."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    images = interpolate(coarse, SIDE, mode="bilinear") * 255
    images += 20 * torch.randn(count, 3, SIDE, SIDE, generator=generator)
    images[-1] = torch.tensor([10.0, 100, 250])[:, None, None]
    return images.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


@pytest.mark.parametrize("name", ["trivial", "rand"])
def test_operations_and_ranges_are_torchvisions(name: str) -> None:
    theirs = THEIRS[name]._AUGMENTATION_SPACE
    assert set(OPERATIONS) == set(theirs)
    table = magnitudes(name, 48, SIDE)
    for row, operation in zip(table, OPERATIONS, strict=True):
        make, signed = theirs[operation]
        expected = make(policies.STRENGTHS, 48, SIDE)
        assert torch.equal(row, torch.zeros(31) if expected is None else expected.double())
        assert signed == (operation in policies._SIGNED)


@pytest.mark.parametrize("name", ["trivial", "rand"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_is_torchvisions_to_rounding(name: str, operation: str) -> None:
    """Every strength and sign, each on an image of its own, in one batch."""
    number = OPERATIONS.index(operation)
    amounts = magnitudes(name, SIDE, SIDE)[number]
    if operation in policies._SIGNED:
        amounts = torch.cat([amounts, -amounts])
    pixels = smooth_images(len(amounts))
    changed = apply_operations(pixels, torch.full((len(amounts),), number), amounts)
    for image, result, amount in zip(pixels, changed, amounts.tolist(), strict=True):
        expected = THEIRS[name]._apply_image_or_video_transform(
            image.permute(2, 0, 1), operation, amount, THEIRS[name].interpolation, {}
        )
        assert (result.int() - expected.permute(1, 2, 0).int()).abs().max() <= 1
        if operation != "Color":
            assert torch.equal(result, expected.permute(1, 2, 0))


def test_images_of_one_batch_get_operations_of_their_own() -> None:
    pixels = smooth_images(2 * len(OPERATIONS))
    operations = torch.arange(len(OPERATIONS)).repeat(2)
    amounts = magnitudes("trivial", SIDE, SIDE)[operations, 20]
    before = pixels.clone()
    changed = apply_operations(pixels, operations, amounts)
    assert torch.equal(pixels, before)
    assert changed.is_contiguous()
    for position in range(len(pixels)):
        one = slice(position, position + 1)
        assert torch.equal(
            changed[one], apply_operations(pixels[one], operations[one], amounts[one])
        )


def test_what_trivial_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """7,000 images: each operation 500 times, each strength 226 times, half of the signs."""
    drawn: dict[str, Tensor] = {}
    monkeypatch.setattr(
        policies, "apply_operations", lambda p, o, a: drawn.update(operations=o, amounts=a)
    )
    torch.manual_seed(0)
    apply_policy(torch.zeros(7000, SIDE, SIDE, 3, dtype=torch.uint8), CONFIG.but(policy="trivial"))
    counts = torch.bincount(drawn["operations"], minlength=len(OPERATIONS))
    assert 430 < counts.min() <= counts.max() < 570
    shears = drawn["amounts"][drawn["operations"] == OPERATIONS.index("ShearX")]
    assert len(set(shears.abs().tolist())) == 31
    assert 0.4 < (shears < 0).double().mean() < 0.6
    bits = drawn["amounts"][drawn["operations"] == OPERATIONS.index("Posterize")]
    assert set(bits.tolist()) == {2, 3, 4, 5, 6, 7, 8}


@pytest.mark.parametrize(("magnitude", "used"), [(None, 9), (0, 0), (30, 30)])
def test_rand_applies_two_operations_of_one_strength(
    magnitude: int | None, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[tuple[Tensor, Tensor]] = []

    def watched(pixels: Tensor, operations: Tensor, amounts: Tensor) -> Tensor:
        rounds.append((operations, amounts))
        return pixels

    monkeypatch.setattr(policies, "apply_operations", watched)
    pixels = torch.zeros(200, SIDE, SIDE, 3, dtype=torch.uint8)
    apply_policy(pixels, CONFIG.but(policy="rand", policy_magnitude=magnitude))
    assert len(rounds) == 2
    assert not torch.equal(rounds[0][0], rounds[1][0])
    column = magnitudes("rand", SIDE, SIDE)[:, used]
    for operations, amounts in rounds:
        assert torch.equal(amounts.abs(), column[operations])


@pytest.mark.parametrize("name", ["trivial", "rand"])
def test_fixed_shapes_give_the_images_of_groups(name: str) -> None:
    """The way of a GPU, run here: every operation at seven strengths and with both signs."""
    table = magnitudes(name, SIDE, SIDE)[:, ::5]
    operations = torch.arange(len(OPERATIONS)).repeat_interleave(2 * table.shape[1])
    amounts = torch.cat([table, -table], dim=1).reshape(-1)
    unsigned = torch.tensor([each not in policies._SIGNED for each in OPERATIONS])[operations]
    amounts = torch.where(unsigned, amounts.abs(), amounts)
    pixels = smooth_images(len(operations))
    before = pixels.clone()
    changed = apply_to_whole_batch(pixels, operations, amounts)
    assert torch.equal(pixels, before)
    assert changed.is_contiguous()
    assert torch.equal(changed, apply_operations(pixels, operations, amounts))


def test_a_batch_of_one_colour_keeps_it_in_autocontrast() -> None:
    pixels = torch.full((2, SIDE, SIDE, 3), 77, dtype=torch.uint8)
    pixels[1, 0, 0] = 0
    number = torch.full((2,), OPERATIONS.index("AutoContrast"))
    changed = apply_to_whole_batch(pixels, number, torch.zeros(2, dtype=torch.float64))
    assert torch.equal(changed[0], pixels[0])
    assert len(changed[1].unique()) == 2
    expected = v2.functional.autocontrast(pixels.permute(0, 3, 1, 2))
    assert torch.equal(changed, expected.permute(0, 2, 3, 1))
