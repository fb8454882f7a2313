"""Prepares a process for a training's slot: its threads, its device, its part of a GPU."""

import os

import torch

from trainables.training.memory import allocator_environment, fence_memory
from trainables.training.process import prepare_process


def prepare_slot(threads: int, gpus: float, gpu_memory: float) -> torch.device:
    """Sets up this process for trainings in a slot, and returns the slot's device.

    threads: the number of CPU threads.
    gpus: the slot's share of a GPU; at 0 the device is the CPU, even where torch sees a GPU.
    gpu_memory: the share of the GPU's memory that this process may take.
    """
    prepare_process(threads)
    device = torch.device("cuda" if gpus else "cpu")
    if gpus:
        os.environ.update(allocator_environment(os.environ))
        fence_memory(gpu_memory, device)
    return device
