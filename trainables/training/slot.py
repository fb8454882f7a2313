"""Prepares a process for a training's slot: its threads, its device, its part of a GPU."""

import os
from collections.abc import Mapping

import torch

from trainables.training.memory import allocator_environment, fence_memory
from trainables.training.process import prepare_process


def prepare_slot(threads: int, per_gpu: int, free: Mapping[str, float]) -> torch.device:
    """Sets up this process for trainings in a slot, and returns the slot's device.

    threads: the number of CPU threads.
    per_gpu: the number of slots on the GPU, of which each may take an equal part; at 0 the device
        is the CPU, even where torch sees a GPU, and one slot has the whole GPU.
    free: the share of its memory that all slots of a GPU may take, by the UUID of each GPU. On one
        that isn't named, such as that of a node that joined later, it is the smallest.
    """
    prepare_process(threads)
    device = torch.device("cuda" if per_gpu else "cpu")
    if per_gpu:
        os.environ.update(allocator_environment(os.environ))
        share = _find_free(free, device) / per_gpu if per_gpu > 1 else 1.0
        fence_memory(share, device)
    return device


def _find_free(free: Mapping[str, float], device: torch.device) -> float:
    uuid = str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
    return free.get(uuid, min(free.values(), default=1.0))
