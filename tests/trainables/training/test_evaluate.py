"""Evaluation against a plain computation over the same images."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from datasets.access import open_search_data
from datasets.loading.loader import Batches, batches
from datasets.splits import SearchData, Split
from tests.trainables.training.fake_gpu import CUDA, fake_gpu
from trainables.augmentation.batch import for_evaluation
from trainables.config import TrialConfig
from trainables.models.inference import EVALUATION_BATCH
from trainables.models.network import Network, build
from trainables.models.setup import new_network
from trainables.training.batches import BatchFeeder
from trainables.training.evaluate import (
    Evaluation,
    Evaluator,
    calibrated_probabilities,
    evaluate,
)
from trainables.training.optimizer import make_optimizer
from trainables.training.step import train_step

pytestmark = pytest.mark.usefixtures("narrow_resnets")

CPU = torch.device("cpu")
CONFIG = TrialConfig(network="resnet10", image_size=32, precision="float32")


@pytest.fixture
def data(tiny_data: Path) -> SearchData:
    return open_search_data(tiny_data)


def everything(split: Split) -> tuple[Tensor, Tensor]:
    """All pixels and labels of a split, in its order."""
    pairs = list(batches(split, 16, order_seed=None, drop_last=False))
    return torch.cat([p for p, _ in pairs]), torch.cat([labels for _, labels in pairs])


def plain_logits(network: Network, split: Split, data: SearchData) -> tuple[Tensor, Tensor]:
    """Logits of all images at once, and their labels."""
    pixels, labels = everything(split)
    with torch.inference_mode():
        return network.eval()(for_evaluation(pixels, CONFIG, data.images)), labels


def test_it_is_the_mean_over_every_image(data: SearchData) -> None:
    """144 images: a full batch of 128 and a rest of 16, which must weigh less."""
    split = replace(data.train, indices=np.tile(data.train.indices, 2))
    network = new_network(CONFIG, 4, CPU)
    found = evaluate(network, split, data.images, CONFIG, CPU)

    logits, labels = plain_logits(network, split, data)
    assert len(labels) == 144
    assert found.loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-4)
    assert found.top1 == pytest.approx(float((logits.argmax(1) == labels).double().mean()))


class Ranked(nn.Module):
    """Logits that rank the classes by number, the highest first, whatever the image."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.logits = torch.arange(classes, 0, -1).float()

    def forward(self, features: Tensor) -> Tensor:
        return self.logits.expand(len(features), -1)


@pytest.mark.parametrize("classes", [4, 5, 8])
def test_top5_counts_every_label_among_the_first_five(data: SearchData, classes: int) -> None:
    network = new_network(CONFIG, 4, CPU)
    network.head = nn.Sequential(Ranked(classes))
    found = evaluate(network, data.val, data.images, CONFIG, CPU)
    assert (found.top1, found.top5) == (0.25, 1.0)


def test_top5_leaves_out_the_sixth(data: SearchData) -> None:
    network = new_network(CONFIG, 4, CPU)
    head = Ranked(8)
    head.logits = torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8])  # labels 0…3 rank eighth to fifth
    network.head = nn.Sequential(head)
    found = evaluate(network, data.val, data.images, CONFIG, CPU)
    assert (found.top1, found.top5) == (0.0, 0.25)


def test_recall_is_each_classs_own(data: SearchData) -> None:
    """Every image is taken for class 0, which is there 18 times, as is class 2."""
    network = new_network(CONFIG, 4, CPU)
    network.head = nn.Sequential(Ranked(4))
    _, labels = everything(data.train)
    assert evaluate(network, data.train, data.images, CONFIG, CPU).recall == (1.0, 0.0, 0.0, 0.0)
    some = replace(data.train, indices=data.train.indices[(labels % 2 == 0).numpy()])
    found = evaluate(network, some, data.images, CONFIG, CPU)
    assert found.recall == (1.0, None, 0.0, None)
    assert found.top1 == 0.5


def test_the_network_is_left_as_it_was(data: SearchData) -> None:
    network: Network = new_network(CONFIG.but(dropout=0.5), 4, CPU)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    first = evaluate(network, data.val, data.images, CONFIG, CPU)
    assert network.training
    assert evaluate(network, data.val, data.images, CONFIG, CPU) == first
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items())


def step(network: Network, data: SearchData, config: TrialConfig) -> None:
    """Changes what trains."""
    pixels, labels = everything(data.val)
    images = for_evaluation(pixels, config, data.images)
    train_step(network, make_optimizer(network, config), images, labels, config)


@pytest.mark.parametrize("depth", [1, 3, 5])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_kept_outputs_of_frozen_stages_change_nothing(
    data: SearchData, precision: str, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.but(precision=precision, freeze_depth=depth, lr=0.01)
    network = new_network(config, 4, CPU)
    evaluator = Evaluator(network, data.images, config, BatchFeeder(device=CPU))
    split = replace(data.train, indices=np.tile(data.train.indices, 2))
    assert len(split) % EVALUATION_BATCH
    plain, reused = [], []
    for _ in range(3):
        for part in (split, data.val):
            plain.append(evaluate(network, part, data.images, config, CPU))
            reused.append(evaluator.evaluate(part))
        step(network, data, config)
    assert reused == plain
    assert len({each.loss for each in plain}) == len(plain)
    monkeypatch.delattr("trainables.models.network.Network.frozen_features")
    evaluator.evaluate(split)


@pytest.mark.parametrize(
    ("cache_bytes", "again"), [(72 * 64 * 8 * 8 * 4, 1), (72 * 64 * 256 - 1, 2)]
)
def test_what_does_not_fit_is_computed_again(
    data: SearchData, cache_bytes: int, again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stem's output on 32 px: 64 channels of 8 × 8 in 4 bytes, for each of 72 images."""
    config = CONFIG.but(freeze_depth=1)
    network = new_network(config, 4, CPU)
    calls = 0
    compute = Network.frozen_features

    def counted(self: Network, images: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return compute(self, images)

    monkeypatch.setattr(Network, "frozen_features", counted)
    evaluator = Evaluator(
        network, data.images, config, BatchFeeder(device=CPU), cache_bytes=cache_bytes
    )
    first, second = evaluator.evaluate(data.train), evaluator.evaluate(data.train)
    assert first == second
    assert calls == again
    evaluator.evaluate(data.val)
    evaluator.evaluate(data.val)
    assert calls == 3  # what is left holds val only where train isn't kept


def test_a_loss_that_is_not_finite_is_none_on_record() -> None:
    assert Evaluation(loss=float("inf"), top1=0, top5=0).finite_loss is None
    assert Evaluation(loss=1.5, top1=0, top5=0).finite_loss == 1.5


class AskedForError(Exception):
    """Holds the number of images at once that an evaluation has asked its feeder for."""


class AskedFeeder(BatchFeeder):
    """Has no images."""

    def batches(self, split: Split, batch_size: int, **_: Any) -> Batches:  # type: ignore[override]
        raise AskedForError(batch_size)


@pytest.mark.parametrize(
    ("device", "size", "micro", "at_once"),
    [
        (CUDA, 64, None, 1024),
        (CUDA, 32, None, 1024),
        (CUDA, 128, None, 256),
        (CUDA, 224, None, 128),
        (CUDA, 64, 16, 16),
        (CPU, 64, None, 128),
        (CPU, 32, None, 128),
        (CPU, 64, 16, 16),
    ],
)
def test_a_gpu_evaluates_more_images_at_once_than_a_cpu(
    monkeypatch: pytest.MonkeyPatch,
    data: SearchData,
    device: torch.device,
    size: int,
    micro: int | None,
    at_once: int,
) -> None:
    config = CONFIG.but(image_size=size, micro_batch_size=micro, batch_size=512)
    with fake_gpu(monkeypatch), device:
        feeder = AskedFeeder(device=device)
        evaluator = Evaluator(build(config, 4), data.images, config, feeder, cache_bytes=0)
        with pytest.raises(AskedForError) as asked:
            evaluator.evaluate(data.val)
    assert asked.value.args == (at_once,)


def calibrated_probability(logits: Tensor, labels: Tensor) -> float:
    return float(calibrated_probabilities(logits, labels).mean())


def drawn(images: int = 500, classes: int = 5) -> tuple[Tensor, Tensor]:
    """Logits that are right more often than not, and labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (images,), generator=generator)
    logits = torch.randn(images, classes, generator=generator)
    logits[torch.arange(images), labels] += 1.0
    return logits, labels


def test_calibration_finds_the_likeliest_scale() -> None:
    """Against scipy's minimum of the mean loss."""
    logits, labels = drawn()

    def loss(scale: float) -> float:
        return float(nn.functional.cross_entropy(scale * logits.double(), labels))

    best = minimize_scalar(loss, bounds=(0.01, 10.0), method="bounded", options={"xatol": 1e-6}).x
    chosen = torch.softmax(best * logits.double(), 1).gather(1, labels[:, None])
    assert calibrated_probability(logits, labels) == pytest.approx(float(chosen.mean()), abs=2e-4)


@pytest.mark.parametrize("scale", [0.1, 7.0, 30.0])
def test_how_sure_a_network_is_changes_no_calibrated_probability(scale: float) -> None:
    logits, labels = drawn()
    found = calibrated_probability(scale * logits + 3.0, labels)
    assert found == pytest.approx(calibrated_probability(logits, labels), abs=2e-4)


def test_calibrated_probabilities_of_guesses_and_of_certainty() -> None:
    labels = torch.arange(40) % 4
    right = nn.functional.one_hot(labels, 4).float()
    assert calibrated_probability(torch.zeros(40, 4), labels) == pytest.approx(0.25)
    assert calibrated_probability(right, labels) == pytest.approx(1.0)
    assert calibrated_probability(-right, labels) == pytest.approx(0.25, abs=2e-3)
    assert math.isnan(calibrated_probability(torch.full((40, 4), math.nan), labels))


def test_few_images_scatter_less_in_calibrated_probability_than_in_accuracy() -> None:
    """Of one network, on 60 images each: the deviation is at most three quarters."""
    logits, labels = drawn(60 * 100)
    parts = list(zip(torch.split(logits, 60), torch.split(labels, 60), strict=True))
    top1 = [float((each.argmax(1) == own).double().mean()) for each, own in parts]
    probability = [calibrated_probability(each, own) for each, own in parts]
    assert np.std(probability) < 0.75 * np.std(top1)


def test_calibration_sees_images_of_the_whole_split(
    data: SearchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third of 144 images, where no more than 50 are kept: 48, across both batches."""
    monkeypatch.setattr("trainables.training.evaluate.CALIBRATED_IMAGES", 50)
    split = replace(data.train, indices=np.tile(data.train.indices, 2))
    network = new_network(CONFIG, 4, CPU)
    feeder = BatchFeeder(device=CPU, resident=False)
    found = Evaluator(network, data.images, CONFIG, feeder).evaluate(split, calibrated=True)
    logits, labels = plain_logits(network, split, data)
    expected = calibrated_probability(logits[::3], labels[::3])
    assert found.probability == pytest.approx(expected, rel=1e-4)
