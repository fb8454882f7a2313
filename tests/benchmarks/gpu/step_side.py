"""Training steps of one checkout of this project, by its path: prints milliseconds by case.

    python step_side.py SECONDS DEVICE CASES    with the checkout as PYTHONPATH

CASES is JSON: label -> fields of the configuration. A step is augmentation of random stored pixels
of 64 px, forward and backward pass, optimizer. Runs in commit 1ba3fe8 and in those after it.
"""

import json
import sys
import time
from collections.abc import Callable

import torch

from datasets.splits import Images
from trainables.config import TrialConfig

try:
    from trainables.models.network import build
    from trainables.models.setup import prepare_network
    from trainables.training.auxiliary_state import AuxiliaryState
    from trainables.training.gpu_settings import apply_gpu_settings
    from trainables.training.optimizer import make_optimizer
    from trainables.training.step import TrainingSteps

    NEW = True
except ModuleNotFoundError:  # commit 1ba3fe8
    from trainables.augment import for_training
    from trainables.networks import build
    from trainables.optim import make_optimizer

    from trainables.train import ready as prepare_network
    from trainables.train import train_step

    NEW = False


CLASSES, SIDE, WARM = 200, 64, 10
NAMES = tuple(str(number) for number in range(CLASSES))
IMAGES = Images(
    fingerprint="", class_ids=NAMES, class_names=NAMES, size=SIDE, mean=(0.5,) * 3, std=(0.25,) * 3
)


def stepper(config: TrialConfig, device: torch.device) -> Callable[[], object]:
    """What takes a step: one CUDA graph where there is a GPU, one by one at commit 1ba3fe8."""
    shape = (config.batch_size, SIDE, SIDE, 3)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    labels = torch.randint(CLASSES, shape[:1], device=device)
    if NEW:
        apply_gpu_settings(False, device)
    network = prepare_network(build(config, CLASSES), config, device).train()
    optimizer = make_optimizer(network, config)
    if NEW:
        auxiliary = AuxiliaryState.begin(config, network, CLASSES, device)
        steps = TrainingSteps(network, optimizer, auxiliary, config, IMAGES, captured=True)
        return lambda: steps.take(pixels, labels)

    def step() -> None:
        batch, targets = for_training(pixels, labels, config, IMAGES)
        train_step(network, optimizer, batch, targets, config)

    return step


def milliseconds(config: TrialConfig, device: torch.device, seconds: float) -> float:
    """A step's mean over so many seconds, until the device has done its work."""
    step = stepper(config, device)
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(WARM if device.type == "cuda" else 1):
        step()
    synchronize()
    began, steps = time.perf_counter(), 0
    while steps < 3 or time.perf_counter() - began < seconds:
        step()
        steps += 1
    synchronize()
    return 1000 * (time.perf_counter() - began) / steps


def main() -> None:
    seconds, device, cases = sys.argv[1:]
    found = {}
    for label, fields in json.loads(cases).items():
        found[label] = milliseconds(TrialConfig(**fields), torch.device(device), float(seconds))
        if device == "cuda":
            torch.cuda.empty_cache()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
