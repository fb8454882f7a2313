"""The device of a slot, and its part of a GPU's memory. No GPU is needed."""

import os
from types import SimpleNamespace

import pytest
import torch

from trainables.training.memory import CONTEXT_BYTES
from trainables.training.process import prepare_slot

CONTEXT = 0.01
"""The GPU has a hundred times the memory of a context."""


@pytest.mark.parametrize(
    ("per_gpu", "free", "device", "fence"),
    [
        (0, {}, "cpu", []),
        (1, {"here": 0.5}, "cuda", [1.0]),
        (4, {}, "cuda", [0.25 - CONTEXT]),
        (2, {"here": 0.8, "there": 0.2}, "cuda", [0.4 - CONTEXT]),
        (2, {"there": 0.2, "elsewhere": 0.6}, "cuda", [0.1 - CONTEXT]),
    ],
)
def test_a_training_has_the_device_and_the_memory_of_its_slot(
    monkeypatch: pytest.MonkeyPatch,
    per_gpu: int,
    free: dict[str, float],
    device: str,
    fence: list[float],
) -> None:
    """One on cores stays there even where torch sees a GPU. One alone on a GPU has all of it. What
    other processes hold of another GPU takes nothing from this one's trainings.
    """
    fenced: list[float] = []
    properties = SimpleNamespace(total_memory=100 * CONTEXT_BYTES, uuid="here")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, _: fenced.append(share)
    )
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF", raising=False)
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "")
    monkeypatch.delenv("PYTORCH_ALLOC_CONF")
    assert prepare_slot(1, per_gpu, free).type == device
    assert fenced == pytest.approx(fence)
    assert ("PYTORCH_ALLOC_CONF" in os.environ) == (device == "cuda")
