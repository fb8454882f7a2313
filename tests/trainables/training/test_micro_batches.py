"""A batch in pieces is the batch: the same gradients, the same loss, but BatchNorm's statistics."""

import weakref
from dataclasses import replace
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
from trainables.training.checkpoint import training_key
from trainables.training.evaluate import evaluate
from trainables.training.micro_batches import halve_micro_batch, piece_sizes
from trainables.training.optimizer import make_optimizer
from trainables.training.step import train_step

CPU = torch.device("cpu")
PLAIN = TrialConfig(
    network="mini_alexnet",
    image_size=32,
    batch_size=11,
    optimizer="sgd",
    lr=0.05,
    momentum=0.9,
    weight_decay=0.01,
    epochs=1,
    precision="float32",
)
"""No BatchNorm and no dropout; 11 images in pieces of at most 4 are 4, 4 and 3."""
NORMED = PLAIN.but(network="resnet10", batch_size=8, micro_batch_size=4)


@pytest.mark.parametrize(
    ("images", "largest", "sizes"),
    [
        (64, 64, [64]),
        (16, 32, [16]),
        (64, 32, [32, 32]),
        (64, 24, [22, 21, 21]),
        (11, 4, [4, 4, 3]),
        (9, 8, [5, 4]),
        (5, 4, [3, 2]),
        (6, 2, [2, 2, 2]),
        (7, 2, [3, 2, 2]),
        (3, 2, [3]),
        (4, 8, [4]),
        (1, 2, [1]),
    ],
)
def test_pieces_are_as_few_and_as_equal_as_can_be(
    images: int, largest: int, sizes: list[int]
) -> None:
    assert piece_sizes(images, largest) == sizes


def test_no_piece_is_too_large_nor_has_one_image() -> None:
    for images in range(2, 70):
        for largest in range(3, images + 1):
            sizes = piece_sizes(images, largest)
            assert sum(sizes) == images
            assert 2 <= min(sizes) <= max(sizes) <= largest


def test_half_as_many_at_once_until_batchnorm_would_suffer() -> None:
    config: TrialConfig | None = PLAIN.but(batch_size=64)
    seen = []
    while config := halve_micro_batch(config):
        seen.append(config.micro_batch_size)
        assert config.batch_size == 64
    assert seen == [32, 16, 8]
    assert halve_micro_batch(PLAIN.but(batch_size=15)) == PLAIN.but(
        batch_size=15, micro_batch_size=8
    )
    assert halve_micro_batch(PLAIN.but(batch_size=14)) is None
    # 33 images by 32 at most are 17 and 16: it is those that are halved.
    assert halve_micro_batch(PLAIN.but(batch_size=33, micro_batch_size=32)) == PLAIN.but(
        batch_size=33, micro_batch_size=9
    )


def batch_and_labels(config: TrialConfig) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    shape = (config.batch_size, 3, config.image_size, config.image_size)
    images = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    return images, torch.randint(4, (config.batch_size,))


def stepped(config: TrialConfig, targets: Tensor, weights: Tensor | None) -> tuple[Network, Tensor]:
    """After two steps, the second with momentum: the network, and the second one's loss."""
    network = new_network(config, 4, CPU).train()
    optimizer, (images, _) = make_optimizer(network, config), batch_and_labels(config)
    for _ in range(2):
        loss = train_step(network, optimizer, images, targets, config, weights)
    return network, loss


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("weights", [None, torch.tensor([2.0, 0.25, 0.25, 1.5])])
def test_a_step_in_pieces_is_the_step(mixed: bool, weights: Tensor | None) -> None:
    config = PLAIN.but(label_smoothing=0.1)
    _, targets = batch_and_labels(config)
    if mixed:
        targets = torch.rand(len(targets), 4).softmax(1)
    whole, loss = stepped(config, targets, weights)
    before = new_network(config, 4, CPU).state_dict()
    pieces, same_loss = stepped(config.but(micro_batch_size=4), targets, weights)
    torch.testing.assert_close(same_loss, loss)
    for name, tensor in whole.state_dict().items():
        found = pieces.state_dict()[name]
        torch.testing.assert_close(found, tensor, rtol=1e-4, atol=2e-7)
        assert not torch.equal(found, before[name])


def test_batchnorm_sees_each_piece() -> None:
    """Running means by hand: two pieces, each with momentum 0.1, from 0."""
    network = new_network(NORMED, 4, CPU).train()
    images, labels = batch_and_labels(NORMED)
    stem: Any = network.stages["stem"]
    convolution = next(module for module in stem.modules() if isinstance(module, nn.Conv2d))
    norm = next(module for module in stem.modules() if isinstance(module, nn.BatchNorm2d))
    with torch.no_grad():
        first, second = (
            convolution(part).mean((0, 2, 3)) for part in images.split(4)
        )  # before the step changes the weights
    train_step(network, make_optimizer(network, NORMED), images, labels, NORMED)
    assert norm.num_batches_tracked == 2
    torch.testing.assert_close(norm.running_mean, 0.09 * first + 0.1 * second)


def test_what_a_piece_took_is_free_before_the_next() -> None:
    network = new_network(NORMED, 4, CPU).train()
    images, labels = batch_and_labels(NORMED)
    sizes: list[int] = []
    kept: list[weakref.ref[Tensor]] = []

    def before(_: nn.Module, inputs: tuple[Tensor]) -> None:
        assert not [ref for ref in kept if ref() is not None]
        sizes.append(len(inputs[0]))

    def after(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        kept.append(weakref.ref(output))

    network.register_forward_pre_hook(before)
    network.stages["layer1"].register_forward_hook(after)
    train_step(network, make_optimizer(network, NORMED), images, labels, NORMED)
    assert sizes == [4, 4]
    assert len(kept) == 2


@pytest.fixture
def data(tiny_data: Path) -> SearchData:
    return open_search_data(tiny_data)


def test_a_training_in_pieces_draws_the_same(data: SearchData) -> None:
    """Two epochs, mixed and cropped at random before each batch is split."""
    config = PLAIN.but(
        batch_size=24, lr=0.01, epochs=2, mixup_alpha=0.5, cutmix_alpha=0.5, crop=0.1, flip=True,
        cutout=0.25, class_weighting=1.0, ema=0.9,
    )  # fmt: skip
    for one, other in zip(train(config, data), train(config.but(micro_batch_size=10), data),
                          strict=True):  # fmt: skip
        assert other.train_loss == pytest.approx(one.train_loss, rel=1e-4)
        assert other.val_loss == pytest.approx(one.val_loss, rel=1e-4)
        assert other.lr == one.lr
        assert other.images_per_s * other.train_s == pytest.approx(72)


def test_evaluation_has_no_more_at_once(data: SearchData) -> None:
    network = new_network(NORMED, 4, CPU)
    sizes: list[int] = []
    network.stages["stem"].register_forward_hook(lambda *seen: sizes.append(len(seen[1][0])))
    found = evaluate(network, data.train, data.images, NORMED, CPU)
    assert sizes == [4] * 18
    whole = evaluate(network, data.train, data.images, NORMED.but(micro_batch_size=None), CPU)
    assert sizes[18:] == [72]
    assert found.loss == pytest.approx(whole.loss, rel=1e-5)
    assert replace(found, loss=0) == replace(whole, loss=0)


def test_a_checkpoint_of_whole_batches_is_gone_on_from_in_pieces() -> None:
    network = new_network(NORMED, 4, CPU)
    whole = NORMED.but(micro_batch_size=None)
    known = {training_key(config, "data", network) for config in (NORMED, whole)}
    assert len(known) == 1
    assert whole.to_dict() == {k: v for k, v in NORMED.to_dict().items() if k != "micro_batch_size"}
