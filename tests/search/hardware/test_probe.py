"""The process that asks torch: one for all questions, none where nothing is asked."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest
import torch

from search.hardware.probe import ProbeError, TorchProcess, check_start, describe_gpu
from trainables.config import TrialConfig
from trainables.models import setup


def test_all_questions_go_to_one_process_that_ends_with_the_context() -> None:
    with TorchProcess() as process:
        first, second = process.submit(os.getpid), process.submit(os.getpid)
    assert first.result() == second.result() != os.getpid()
    assert not multiprocessing.active_children()


def test_what_was_asked_is_answered_before_the_process_ends() -> None:
    with TorchProcess() as process:
        slow = process.submit(time.sleep, 0.2)
    assert slow.result() is None


def test_nothing_asked_starts_nothing() -> None:
    with TorchProcess():
        assert not multiprocessing.active_children()


def test_a_refusal_comes_back_in_one_sentence() -> None:
    config = TrialConfig(network="resnet18", weights="/nowhere/weights.pt")
    with TorchProcess() as process:
        asked = process.submit(check_start, config)
    with pytest.raises(ProbeError, match=r"/nowhere/weights\.pt"):
        asked.result()


def test_a_process_that_died_is_told_and_leaves_nothing_waiting() -> None:
    with TorchProcess() as process:
        died = process.submit(os._exit, 1)
        with pytest.raises(Exception, match="terminated abruptly"):
            died.result(timeout=60)


def test_a_gpu_is_described_with_the_settings_that_trials_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # is set below, and restored
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(setup, "default_device", lambda: torch.device("cpu"))
    assert describe_gpu(deterministic=True) == {}
    monkeypatch.setattr(setup, "default_device", lambda: torch.device("cuda"))
    try:
        found = describe_gpu(deterministic=True)
    finally:
        torch.use_deterministic_algorithms(False)
    assert (found["deterministic"], found["mps"]) == (True, False)
    assert {"tf32_convolutions", "cudnn", "cuda", "nvidia_driver"} <= found.keys()
