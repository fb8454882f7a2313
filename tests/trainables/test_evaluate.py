"""Evaluation against a plain computation over the same images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from datasets.access import open_search_data
from datasets.loader import batches
from datasets.splits import SearchData, Split
from trainables.augment import for_evaluation
from trainables.config import TrialConfig
from trainables.evaluate import Evaluation, evaluate
from trainables.networks import Network
from trainables.train import new_network

CPU = torch.device("cpu")
CONFIG = TrialConfig(network="resnet10", image_size=32, precision="float32")


@pytest.fixture
def data(tiny_data: Path) -> SearchData:
    return open_search_data(tiny_data)


def everything(split: Split) -> tuple[Tensor, Tensor]:
    """All pixels and labels of a split, in its order."""
    pairs = list(batches(split, 16, order_seed=None, drop_last=False))
    return torch.cat([p for p, _ in pairs]), torch.cat([labels for _, labels in pairs])


def test_it_is_the_mean_over_every_image(data: SearchData) -> None:
    """144 images: a full batch of 128 and a rest of 16, which must weigh less."""
    split = replace(data.train, indices=np.tile(data.train.indices, 2))
    network = new_network(CONFIG, 4, CPU)
    found = evaluate(network, split, data.images, CONFIG, CPU)

    pixels, labels = everything(split)
    with torch.inference_mode():
        logits = network.eval()(for_evaluation(pixels, CONFIG, data.images))
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
    network.head = Ranked(classes)
    found = evaluate(network, data.val, data.images, CONFIG, CPU)
    assert (found.top1, found.top5) == (0.25, 1.0)


def test_top5_leaves_out_the_sixth(data: SearchData) -> None:
    network = new_network(CONFIG, 4, CPU)
    head = Ranked(8)
    head.logits = torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8])  # labels 0…3 rank eighth to fifth
    network.head = head
    found = evaluate(network, data.val, data.images, CONFIG, CPU)
    assert (found.top1, found.top5) == (0.0, 0.25)


def test_the_network_is_left_as_it_was(data: SearchData) -> None:
    network: Network = new_network(CONFIG.but(dropout=0.5), 4, CPU)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    first = evaluate(network, data.val, data.images, CONFIG, CPU)
    assert network.training
    assert evaluate(network, data.val, data.images, CONFIG, CPU) == first
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items())


def test_a_loss_that_is_not_finite_is_none_on_record() -> None:
    assert Evaluation(loss=float("inf"), top1=0, top5=0).finite_loss is None
    assert Evaluation(loss=1.5, top1=0, top5=0).finite_loss == 1.5
