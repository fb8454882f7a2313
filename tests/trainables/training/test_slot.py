"""The device of a slot, and its part of a GPU's memory. No GPU is needed."""

import os
from types import SimpleNamespace

import pytest
import torch

from trainables.training.memory import CONTEXT_BYTES
from trainables.training.slot import prepare_slot

CONTEXT = 0.01
"""The GPU has a hundred times the memory of a context."""


@pytest.mark.parametrize(
    ("gpus", "memory", "device", "fence"),
    [(0.0, 1.0, "cpu", []), (1.0, 1.0, "cuda", [1.0]), (0.3333, 0.25, "cuda", [0.25 - CONTEXT])],
)
def test_a_training_has_the_device_and_the_memory_of_its_slot(
    monkeypatch: pytest.MonkeyPatch, gpus: float, memory: float, device: str, fence: list[float]
) -> None:
    """One on cores stays there even where torch sees a GPU. One alone on a GPU has all of it."""
    fenced: list[float] = []
    properties = SimpleNamespace(total_memory=100 * CONTEXT_BYTES)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, _: fenced.append(share)
    )
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF", raising=False)
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "")
    monkeypatch.delenv("PYTORCH_ALLOC_CONF")
    assert prepare_slot(1, gpus, memory).type == device
    assert fenced == pytest.approx(fence)
    assert ("PYTORCH_ALLOC_CONF" in os.environ) == (device == "cuda")
