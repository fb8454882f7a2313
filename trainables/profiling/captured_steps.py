"""Measures whether a GPU trains faster, and the same, if a step is one CUDA graph."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from trainables.config import TrialConfig
from trainables.profiling.capture_gain import TOLERANCE, CaptureGain
from trainables.profiling.latency import fork_rng, gpu_clock
from trainables.profiling.training_steps import random_training
from trainables.training.gpu_settings import apply_gpu_settings
from trainables.training.memory import release_frames, release_gpu_memory
from trainables.training.optimizer import set_lr
from trainables.training.step import TrainingSteps
from trainables.training.step_graph import WARM_UP

_COMPARED = WARM_UP + 5
"""The weights are compared after so many steps, of which the last ones are captured."""
_TIMED = 20
"""A round of the measurement takes this many steps."""
_ROUNDS = 3
"""The fastest of so many rounds counts: what slows others down is the machine."""


def measure_capture(config: TrialConfig, device: torch.device) -> CaptureGain:
    """Returns what captured steps gain for a training of `config`, whose precision must be
    resolved, by a few steps of random batches. Where captured steps fail, and for a configuration
    that is compiled, they don't run.

    Where the weights of both kinds of steps differ by more than `TOLERANCE`, plain steps are taken
    once more, to see how far these differ among themselves.
    """
    if config.compile:
        return CaptureGain()
    apply_gpu_settings(config.deterministic, device)
    with fork_rng(device):
        before, plain, seconds = _train(config, device, captured=False)
        found = CaptureGain(plain_images_per_s=config.batch_size / seconds)
        try:
            _, captured, seconds = _train(config, device, captured=True)
            difference, again = _difference(before, plain, captured), plain
            if difference > TOLERANCE:
                _, again, _ = _train(config, device, captured=False)
        except RuntimeError as error:
            release_frames(error)
            return found
        finally:
            release_gpu_memory(device)
    return replace(
        found,
        captured_images_per_s=config.batch_size / seconds,
        difference=difference,
        noise=_difference(before, plain, again),
    )


def _difference(before: Tensor, one: Tensor, other: Tensor) -> float:
    """Returns how far two weights lie apart, as a share of how far `one` lies from `before`, or 1
    where it has not moved.
    """
    moved = float((one - before).norm())
    return float((other - one).norm()) / moved if moved else 1.0


def _train(
    config: TrialConfig, device: torch.device, *, captured: bool
) -> tuple[Tensor, Tensor, float]:
    """Returns the trained weights before and after `_COMPARED` steps, on the CPU, and the seconds
    of a later step: infinitely many if steps should be captured and can't be.
    """
    release_gpu_memory(device)
    torch.manual_seed(0)
    steps, batch = random_training(config, device, captured=captured)
    before = _weights(steps)
    for number in range(_COMPARED):
        # As in a training, the rate and the images differ from step to step.
        set_lr(steps.optimizer, config.lr / (1 + number))
        steps.take(batch[0].roll(number, 0), batch[1])
        if number == WARM_UP:
            torch.manual_seed(1)  # as at each epoch's beginning
    after = _weights(steps)
    if captured and not steps.captured:
        return before, after, math.inf
    clock, rounds = gpu_clock(device), []
    for _ in range(_ROUNDS):
        began = clock()
        for _ in range(_TIMED):
            steps.take(*batch)
        rounds.append((clock() - began) / _TIMED)
    return before, after, min(rounds)


def _weights(steps: TrainingSteps) -> Tensor:
    """Returns all trained weights as one vector on the CPU."""
    trained = [p for p in steps.network.parameters() if p.requires_grad]
    return torch.cat([p.detach().float().flatten() for p in trained]).cpu()
