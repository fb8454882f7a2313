"""What a GPU's numbers depend on: chosen in one place, and described in records."""

import os
from collections.abc import Iterator

import pytest
import torch

from common.nvml import Driver
from trainables.training import gpu_settings
from trainables.training.gpu_settings import apply_gpu_settings, describe_gpu

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _restore(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("CUBLAS_WORKSPACE_CONFIG", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.setenv(name, "")  # so that it is restored, whoever sets it
        monkeypatch.delenv(name)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    # torch's own function does this, and imports its compiler, which takes seconds.
    monkeypatch.setattr(
        torch, "use_deterministic_algorithms", torch._C._set_deterministic_algorithms
    )
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("deterministic", [True, False])
def test_what_is_set_is_described(monkeypatch: pytest.MonkeyPatch, deterministic: bool) -> None:
    apply_gpu_settings(deterministic, GPU)
    found = describe_gpu(GPU)
    assert found["tf32_convolutions"] is True
    assert found["tf32_matrix_products"] is False
    assert found["deterministic"] is deterministic
    assert found["cudnn_benchmark"] is False
    assert set(found) >= {"cudnn", "cuda", "nvidia_driver"}
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":4096:8" if deterministic else None)
    assert os.environ["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    apply_gpu_settings(False, GPU)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_cpu_has_no_such_settings() -> None:
    assert describe_gpu(CPU) == {}
    apply_gpu_settings(True, CPU)
    assert "PYTORCH_ALLOC_CONF" not in os.environ
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_driver_s_version_is_nvml_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """WSL2 has no /proc/driver/nvidia."""
    for version, recorded in (("550.54", "550.54"), ("", None)):
        monkeypatch.setattr(gpu_settings, "read_driver", lambda v=version: Driver(version=v))
        assert describe_gpu(GPU)["nvidia_driver"] == recorded
