"""The device of a slot, and its part of a GPU's memory. No GPU is needed."""

import pytest
import torch

from trainables.training.slot import prepare_slot


@pytest.mark.parametrize(
    ("gpus", "memory", "device", "fence"),
    [(0.0, 1.0, "cpu", []), (1.0, 1.0, "cuda", []), (0.3333, 0.25, "cuda", [0.25])],
)
def test_a_training_has_the_device_and_the_memory_of_its_slot(
    monkeypatch: pytest.MonkeyPatch, gpus: float, memory: float, device: str, fence: list[float]
) -> None:
    """One on cores stays there even where torch sees a GPU, and one alone on a GPU needs no
    fence.
    """
    fenced: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", fenced.append)
    assert prepare_slot(1, gpus, memory).type == device
    assert fenced == fence
