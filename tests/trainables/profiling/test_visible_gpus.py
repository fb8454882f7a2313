"""What torch says of GPUs, by a fake `torch.cuda`, and by the real one where there is none."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainables.profiling import visible_gpus
from trainables.profiling.visible_gpus import list_gpus


class FakeCuda:
    """Has two unlike cards, or raises at the beginning."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def init(self) -> None:
        if self._error:
            raise self._error

    def device_count(self) -> int:
        return 2

    def get_device_properties(self, device: int) -> Any:
        name, major = [("A100", 8), ("Tesla K80", 3)][device]
        return SimpleNamespace(name=name, uuid=f"u{device}", total_memory=80, major=major, minor=0)

    def mem_get_info(self, device: int) -> tuple[int, int]:
        return 50, 80


def compute(device: int) -> None:
    if device == 1:
        raise RuntimeError("CUDA error: no kernel image is available for execution\nCompile with")


def test_each_card_is_listed_with_its_free_memory_and_whether_it_computes() -> None:
    found = list_gpus(FakeCuda(), compute)
    known = {"memory_bytes": 80, "uuid": "u0", "capability": "8.0", "free_bytes": 50}
    assert found["gpus"][0] == {"name": "A100", "error": "", **known}
    assert found["gpus"][1]["error"] == "CUDA error: no kernel image is available for execution"
    assert (found["gpus"][1]["capability"], found["error"]) == ("3.0", "")


@pytest.mark.parametrize(
    "error",
    [
        AssertionError("Torch not compiled with CUDA enabled"),
        RuntimeError("The NVIDIA driver on your system is too old (found version 11040). Please"),
    ],
)
def test_a_torch_that_sees_no_gpu_gives_its_reason(error: Exception) -> None:
    assert list_gpus(FakeCuda(error), compute) == {"gpus": [], "error": str(error)}


def test_the_answer_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("CUDA must not begin in this process")
    visible_gpus.main([])
    found = json.loads(capsys.readouterr().out)
    assert (found["torch"], found["cuda"]) == (torch.__version__, torch.version.cuda)
    assert found["answers"][0]["gpus"] == []
