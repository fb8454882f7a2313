"""A network of two layers, for tests that train for real where a ResNet would take seconds."""

from collections import OrderedDict

import torch
from torch import nn

from trainables.config import TrialConfig
from trainables.models.base import LastLayer
from trainables.models.network import Network
from trainables.models.setup import prepare_network


def build_small(num_classes: int = 4) -> Network:
    """With weights from torch's global generator, for images of any size."""
    stem = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(),
    )  # fmt: skip
    head = nn.Sequential(OrderedDict(fc=LastLayer(nn.Linear(32, num_classes))))
    return Network(OrderedDict(stem=stem), head)


def small_network(config: TrialConfig) -> Network:
    """With the same weights in every call, on the CPU, as a training prepares it."""
    torch.manual_seed(0)
    return prepare_network(build_small(), config, torch.device("cpu")).train()
