"""Chooses the precision that trains faster on this machine, once per study, for all its trials."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from trainables.catalog import forward_gmacs
from trainables.config import TrialConfig
from trainables.models.network import build, count_gmacs
from trainables.models.setup import default_device, prepare_network
from trainables.training.optimizer import make_optimizer
from trainables.training.step import train_step

MARGIN = 1.05
"""The precision `bfloat16` must be this many times as fast as `float32` to be worth its
rounding.
"""

_ROUNDS = 3
"""The measurement takes at most this many rounds."""
_CLEAR = 1.25
"""Two rounds in a row are enough if one precision is this many times as fast in both.

The times of equal steps differ by a tenth.
"""
_SECONDS = 6.0
"""The measurement begins no new round after this many seconds."""
_BATCH_GMACS = 6.0
"""The forward pass of a measured batch costs about this many 10⁹ multiply-adds."""
_CLASSES = 200
"""The measured network has this many classes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionChoice:
    """A `PrecisionChoice` holds the precision to train in, and the measured speeds.

    images_per_s: training images per second in each measured precision. These are speeds of
    training steps on small synthetic batches without a loader. The table is empty on a GPU, where
    nothing is measured.
    """

    precision: str
    images_per_s: dict[str, float]


def resolve(config: TrialConfig, threads: int) -> PrecisionChoice:
    """Chooses the precision if `config.precision` is `auto`, and measures training speed on a CPU.

    On a GPU, `auto` means bfloat16 if the GPU supports it. On a CPU, both precisions train the same
    steps in turn, with `threads` threads, for a few seconds; float32 wins ties. If the precision
    isn't `auto`, only that one is measured. The function needs no weights and no dataset.
    """
    auto = config.precision == "auto"
    if default_device().type == "cuda":
        best = "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
        return PrecisionChoice(precision=best if auto else config.precision, images_per_s={})
    speeds = _measure(config, ["float32", "bfloat16"] if auto else [config.precision], threads)
    faster = auto and speeds["bfloat16"] > MARGIN * speeds["float32"]
    best = "bfloat16" if faster else "float32"
    return PrecisionChoice(precision=best if auto else config.precision, images_per_s=speeds)


def _measure(config: TrialConfig, precisions: list[str], threads: int) -> dict[str, float]:
    """Returns images per second in each precision: the best of a few rounds, measured in turn."""
    size = batch_size(config)
    best = dict.fromkeys(precisions, float("inf"))
    leaders = []
    with _use_threads(threads), torch.random.fork_rng():
        steps = {p: _Steps(config.but(precision=p), size) for p in precisions}
        for step in steps.values():
            step.seconds()
        started = time.perf_counter()
        for _ in range(_ROUNDS):
            taken = {precision: step.seconds() for precision, step in steps.items()}
            best = {precision: min(best[precision], taken[precision]) for precision in best}
            leaders.append(_clear_leader(taken))
            agreed = len(leaders) > 1 and leaders[-1] == leaders[-2] is not None
            if agreed or time.perf_counter() - started > _SECONDS:
                break
    return {precision: size / seconds for precision, seconds in best.items()}


def _clear_leader(seconds: dict[str, float]) -> str | None:
    """Returns the precision that is faster than all others by `_CLEAR`, or `None` if there is
    none.
    """
    first, *others = sorted(seconds, key=lambda precision: seconds[precision])
    clear = all(seconds[other] > _CLEAR * seconds[first] for other in others)
    return first if clear else None


def batch_size(config: TrialConfig) -> int:
    """Returns the number of images in a measured batch: about a second's work for any network."""
    cost = forward_gmacs(config.network, config.image_size, config.stem) or count_gmacs(config)
    return max(4, min(config.batch_size, round(_BATCH_GMACS / cost)))


class _Steps:
    """A `_Steps` takes training steps of one configuration on one synthetic batch."""

    def __init__(self, config: TrialConfig, size: int) -> None:
        self.config = config
        self.network = prepare_network(build(config, _CLASSES), config, torch.device("cpu"))
        self.optimizer = make_optimizer(self.network, config)
        shape = (size, 3, config.image_size, config.image_size)
        self.images = torch.randn(shape).contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(_CLASSES, (size,))

    def seconds(self) -> float:
        """Takes one training step and returns its time in seconds."""
        started = time.perf_counter()
        train_step(self.network, self.optimizer, self.images, self.labels, self.config)
        return time.perf_counter() - started


@contextmanager
def _use_threads(count: int) -> Iterator[None]:
    """Sets torch's number of threads while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
