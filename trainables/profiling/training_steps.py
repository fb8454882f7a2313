"""Takes training steps without a dataset, to measure how many images a GPU trains a second."""

from collections import deque
from collections.abc import Callable, Generator

import torch
from torch import Tensor

from datasets.splits import Images
from trainables.config import TrialConfig
from trainables.models.network import build
from trainables.models.setup import prepare_network
from trainables.training.auxiliary_state import AuxiliaryState
from trainables.training.gpu_settings import apply_gpu_settings
from trainables.training.optimizer import make_optimizer
from trainables.training.step import TrainingSteps

AHEAD = 4
"""On a GPU, so many steps may be started before the first of them has ended, as in a training,
which waits for no step.
"""
_CLASSES = 200
"""The network has this many classes."""


def random_training(
    config: TrialConfig, device: torch.device, *, classes: int = _CLASSES, captured: bool = False
) -> tuple[TrainingSteps, tuple[Tensor, Tensor]]:
    """Returns a training of `config` with random weights, and one random batch of as many images as
    a step takes, as they are stored: uint8 pixels (B, S, S, 3) and int64 labels (B,), on `device`.

    captured: whether a GPU takes a step as one CUDA graph.
    """
    names = tuple(map(str, range(classes)))
    images = Images(
        fingerprint="",
        class_ids=names,
        class_names=names,
        size=config.image_size,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )
    network = prepare_network(build(config, classes), config, device).train()
    optimizer = make_optimizer(network, config)
    auxiliary = AuxiliaryState.begin(config, network, classes, device)
    steps = TrainingSteps(network, optimizer, auxiliary, config, images, captured=captured)
    shape = (config.batch_size, config.image_size, config.image_size, 3)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    return steps, (pixels, torch.randint(classes, shape[:1], device=device))


def train_steps(
    config: TrialConfig, device: torch.device, *, captured: bool = False
) -> Generator[int]:
    """Yields, without end, the number of images of each training step of `config` when the step has
    ended. Closing the generator waits until the GPU is at rest.

    The steps augment and train one random batch, which lies on the device; loading is left out.
    `config.precision` must be resolved.

    captured: whether a GPU takes a step as one CUDA graph.
    """
    apply_gpu_settings(config.deterministic, device)
    steps, batch = random_training(config, device, captured=captured)

    def take_step() -> int:
        steps.take(*batch)
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
