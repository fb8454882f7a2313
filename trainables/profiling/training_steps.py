"""Takes training steps without a dataset, to measure how many images a GPU trains a second."""

from collections import deque
from collections.abc import Callable, Generator

import torch

from trainables.config import TrialConfig
from trainables.models.network import build
from trainables.models.setup import prepare_network
from trainables.training.auxiliary_state import AuxiliaryState
from trainables.training.gpu_settings import apply_gpu_settings
from trainables.training.optimizer import make_optimizer
from trainables.training.step import train_step

AHEAD = 4
"""On a GPU, so many steps may be started before the first of them has ended, as in a training,
which waits for no step.
"""
_CLASSES = 200
"""The network has this many classes."""


def train_steps(config: TrialConfig, device: torch.device) -> Generator[int]:
    """Yields, without end, the number of images of each training step of `config` when the step has
    ended. Closing the generator waits until the GPU is at rest.

    The steps train one random batch, which lies on the device; loading and augmentation are left
    out. `config.precision` must be resolved. Not yet measured on a GPU.
    """
    apply_gpu_settings(config.deterministic, device)
    network = prepare_network(build(config, _CLASSES), config, device)
    optimizer = make_optimizer(network, config)
    auxiliary = AuxiliaryState.begin(config, network, _CLASSES, device)
    weights, scaler = auxiliary.loss_weights(), auxiliary.scaler
    shape = (config.batch_size, 3, config.image_size, config.image_size)
    images = torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(_CLASSES, (config.batch_size,), device=device)

    def take_step() -> int:
        train_step(network, optimizer, images, labels, config, weights, scaler)
        auxiliary.after_step()
        return config.batch_size

    record = torch.cuda.current_stream(device).record_event if device.type == "cuda" else None
    yield from run_ahead(take_step, record)


def run_ahead(
    take_step: Callable[[], int], record: "Callable[[], torch.cuda.Event] | None"
) -> Generator[int]:
    """Takes steps without end, and yields what each returns when it has ended. Closing the
    generator waits for those that are under way.

    record: returns an event that a GPU reaches after the steps so far; `None` on a CPU, where a
        step has ended when it returns.
    """
    under_way: deque[torch.cuda.Event] = deque()
    while True:
        images = take_step()
        if record:
            under_way.append(record())
            if len(under_way) <= AHEAD:
                continue
            under_way.popleft().synchronize()
        try:
            yield images
        except GeneratorExit:
            for event in under_way:
                event.synchronize()
            raise
