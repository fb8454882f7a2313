"""The process that asks torch: one for all questions, none where nothing is asked."""

import multiprocessing
import os
import time

import pytest

from search.hardware.probe import ProbeError, TorchProcess, check_start
from trainables.config import TrialConfig


def test_all_questions_go_to_one_process_that_ends_with_the_context() -> None:
    with TorchProcess() as torch:
        first, second = torch.submit(os.getpid), torch.submit(os.getpid)
    assert first.result() == second.result() != os.getpid()
    assert not multiprocessing.active_children()


def test_what_was_asked_is_answered_before_the_process_ends() -> None:
    with TorchProcess() as torch:
        slow = torch.submit(time.sleep, 0.2)
    assert slow.result() is None


def test_nothing_asked_starts_nothing() -> None:
    with TorchProcess():
        assert not multiprocessing.active_children()


def test_a_refusal_comes_back_in_one_sentence() -> None:
    config = TrialConfig(network="resnet18", weights="/nowhere/weights.pt")
    with TorchProcess() as torch:
        asked = torch.submit(check_start, config)
    with pytest.raises(ProbeError, match=r"/nowhere/weights\.pt"):
        asked.result()


def test_a_process_that_died_is_told_and_leaves_nothing_waiting() -> None:
    with TorchProcess() as torch:
        died = torch.submit(os._exit, 1)
        with pytest.raises(Exception, match="terminated abruptly"):
            died.result(timeout=60)
