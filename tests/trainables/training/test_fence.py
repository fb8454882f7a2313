"""What a process may take of a GPU that it shares, with made-up answers of `torch.cuda`."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch.cuda._utils import _get_device_index
from torch.torch_version import TorchVersion

from trainables.training.memory import (
    CONTEXT_BYTES,
    allocator_environment,
    fence_memory,
    free_bytes,
    peak_bytes,
)

GPU, TOTAL = torch.device("cuda"), 80 << 30


class FakeMemory:
    """Stands for `torch.cuda` and holds the fraction of the memory that a process may take."""

    def __init__(self, patch: pytest.MonkeyPatch, *, free: int, reserved: int) -> None:
        self.fraction = 1.0
        answers: dict[str, Callable[..., object]] = {
            "get_device_properties": lambda _: SimpleNamespace(total_memory=TOTAL),
            "set_per_process_memory_fraction": self._limit,
            "get_per_process_memory_fraction": self._fraction,
            "mem_get_info": lambda _: (free, TOTAL),
            "memory_reserved": lambda _: reserved,
            "current_device": lambda: 0,
        }
        for name, answer in answers.items():
            patch.setattr(torch.cuda, name, answer)

    def _fraction(self, device: torch.device | int) -> float:
        assert _get_device_index(device) == 0  # as torch itself does: `cuda` has no number
        return self.fraction

    def _limit(self, fraction: float, device: torch.device | int) -> None:
        """Checks what torch itself checks, and that 0, which would be no memory, is never set."""
        assert _get_device_index(device) == 0
        assert isinstance(fraction, float)
        assert 0 < fraction <= 1
        self.fraction = fraction


@pytest.mark.parametrize(
    ("share", "limit"),
    [
        (1.0, TOTAL),
        (2.0, TOTAL),
        (0.5, TOTAL // 2 - CONTEXT_BYTES),
        (0.25, TOTAL // 4 - CONTEXT_BYTES),
        (0.005, TOTAL // 1000),  # less than a context
    ],
)
def test_a_fence_leaves_a_share_without_the_context(
    monkeypatch: pytest.MonkeyPatch, share: float, limit: int
) -> None:
    gpu = FakeMemory(monkeypatch, free=TOTAL, reserved=0)
    fence_memory(share, GPU)
    assert gpu.fraction * TOTAL == pytest.approx(limit, abs=1)


@pytest.mark.parametrize("trials", [2, 3, 7, 16])
def test_fences_and_contexts_of_all_slots_fit_together(
    monkeypatch: pytest.MonkeyPatch, trials: int
) -> None:
    gpu = FakeMemory(monkeypatch, free=TOTAL, reserved=0)
    fence_memory(1 / trials, GPU)
    assert trials * (gpu.fraction * TOTAL + CONTEXT_BYTES) <= TOTAL + trials


def test_a_cpu_has_no_fence() -> None:
    fence_memory(0.5, torch.device("cpu"))


def test_what_is_free_lies_within_the_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeMemory(monkeypatch, free=30 << 30, reserved=2 << 30)
    assert free_bytes(GPU) == 30 << 30
    fence_memory(0.25, GPU)
    assert free_bytes(GPU) == pytest.approx((20 << 30) - CONTEXT_BYTES - (2 << 30), abs=1)


def test_segments_expand_unless_the_user_has_configured_torch_s_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert allocator_environment({}) == {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.9.1+cu128"))
    assert allocator_environment({}) == {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        assert allocator_environment({name: "max_split_size_mb:64"}) == {}


def test_the_peak_of_a_gpu_is_what_torch_has_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 7)
    assert peak_bytes(GPU) == 7
