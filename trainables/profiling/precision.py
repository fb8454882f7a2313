"""Chooses the precision that trains faster on this machine, once per study, for all its trials."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.catalog import forward_gmacs
from trainables.config import TrialConfig
from trainables.models.network import build, count_gmacs
from trainables.models.setup import computes, default_device, prepare_network
from trainables.profiling.latency import fork_rng, gpu_clock
from trainables.training.gpu_settings import apply_gpu_settings
from trainables.training.loss_scaling import LossScaler
from trainables.training.memory import out_of_memory, release_frames, release_gpu_memory
from trainables.training.optimizer import make_optimizer
from trainables.training.step import train_step
from trainables.training.step_graph import StepGraph

MARGIN = 1.05
"""A precision of 16 bits must be this many times as fast as `float32` to be worth its rounding."""

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
_GPU_STEPS = 20
"""On a GPU, whose steps are short, a round takes this many steps of a whole batch."""
_CLASSES = 200
"""The measured network has this many classes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionChoice:
    """A `PrecisionChoice` holds the precision to train in, and the measured speeds.

    images_per_s: training images per second in each measured precision. These are speeds of
    training steps on synthetic batches without a loader.
    """

    precision: str
    images_per_s: dict[str, float]


def resolve(config: TrialConfig, threads: int, half: str | None = None) -> PrecisionChoice:
    """Chooses the precision if `config.precision` is `auto`, and measures training speed.

    For `auto`, float32 and `half` (default: the `half_precision` of this device) train the same
    steps in turn, with `threads` threads on a CPU, for a few seconds; float32 wins ties. If the
    precision isn't `auto`, only that one is measured, and only float32 where there is no `half`.
    The function needs no weights and no dataset.
    On a GPU, a step is one CUDA graph where it can be captured (`StepGraph`).
    """
    device = default_device()
    apply_gpu_settings(config.deterministic, device)
    if config.precision != "auto":
        speeds = _measure(config, [config.precision], threads, device)
        return PrecisionChoice(precision=config.precision, images_per_s=speeds)
    half = half or half_precision(device)
    speeds = _measure(config, ["float32", half] if half else ["float32"], threads, device)
    faster = half if half and speeds[half] > MARGIN * speeds["float32"] else "float32"
    return PrecisionChoice(precision=faster, images_per_s=speeds)


def half_precision(device: torch.device) -> str | None:
    """Returns the precision of 16 bits that a device may train fast in: `bfloat16`, or `float16` on
    GPUs that only emulate it. Returns `None` for CPUs that do, where one step would take longer
    than all else that is measured.
    """
    if computes("bfloat16", device):
        return "bfloat16"
    return "float16" if device.type == "cuda" else None


def _measure(
    config: TrialConfig, precisions: list[str], threads: int, device: torch.device
) -> dict[str, float]:
    """Returns images per second in each precision."""
    if device.type == "cpu":
        return _measure_in_turn(config, precisions, threads)
    configs = {precision: config.but(precision=precision) for precision in precisions}
    with fork_rng(device):
        # Captured steps of one precision and plain steps of another can't be compared.
        return _captured_rates(configs, device) or {
            precision: _gpu_rate(each, device, captured=False)
            for precision, each in configs.items()
        }


def _captured_rates(configs: dict[str, TrialConfig], device: torch.device) -> dict[str, float]:
    """Returns images per second in each precision, or nothing where steps of one of them can't be
    captured, for want of memory too.
    """
    rates: dict[str, float] = {}
    for precision, config in configs.items():
        try:
            rate = 0.0 if config.compile else _gpu_rate(config, device)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            release_frames(error)
            rate = 0.0
        if not rate:
            return {}
        rates[precision] = rate
    return rates


def _gpu_rate(config: TrialConfig, device: torch.device, *, captured: bool = True) -> float:
    """Returns images per second, the best of a few rounds, or 0 where steps can't be captured."""
    release_gpu_memory(device)  # of the precision before
    steps = _Steps(config, config.batch_size, device, captured=captured)
    steps.seconds()
    if captured and not steps.captured:
        return 0.0
    return config.batch_size / min(steps.seconds() for _ in range(_ROUNDS))


def _measure_in_turn(config: TrialConfig, precisions: list[str], threads: int) -> dict[str, float]:
    """Returns images per second on a CPU: the best of a few rounds, measured in turn."""
    size, device = batch_size(config), torch.device("cpu")
    best = dict.fromkeys(precisions, float("inf"))
    leaders = []
    with _use_threads(threads), fork_rng(device):
        steps = {p: _Steps(config.but(precision=p), size, device) for p in precisions}
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
    """Returns the number of images in a batch measured on a CPU: about a second's work for any
    network.
    """
    cost = forward_gmacs(config.network, config.image_size, config.stem) or count_gmacs(config)
    return max(4, min(config.batch_size, round(_BATCH_GMACS / cost)))


class _Steps:
    """A `_Steps` takes training steps of one configuration on one synthetic batch.

    captured: whether a step is one CUDA graph. Started one by one, the operations of a small
    network take a large GPU longer to start than to compute, and 16 bits take more of them.
    """

    def __init__(
        self, config: TrialConfig, size: int, device: torch.device, *, captured: bool = False
    ) -> None:
        self.config = config
        self.network = prepare_network(build(config, _CLASSES), config, device)
        self.optimizer = make_optimizer(self.network, config)
        self.scaler = LossScaler(device) if config.precision == "float16" else None
        on_gpu = device.type == "cuda"
        self.graph = StepGraph(self.optimizer, device) if captured else None
        shape = (size, 3, config.image_size, config.image_size)
        images = torch.randn(shape, device=device)
        self.images = images.contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(_CLASSES, (size,), device=device)
        self.steps = _GPU_STEPS if on_gpu else 1
        self.clock = gpu_clock(device) if on_gpu else time.perf_counter

    @property
    def captured(self) -> bool:
        """Returns whether steps are one CUDA graph by now."""
        return self.graph is not None and self.graph.captured

    def seconds(self) -> float:
        """Returns the time of a training step in seconds, as the mean of this round's steps."""
        batch = self.images, self.labels
        started = self.clock()
        for _ in range(self.steps):
            if self.graph:
                self.graph.take(self._step, *batch)
            else:
                self._step(*batch)
        return (self.clock() - started) / self.steps

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        return train_step(
            self.network, self.optimizer, images, labels, self.config, scaler=self.scaler
        )


@contextmanager
def _use_threads(count: int) -> Iterator[None]:
    """Sets torch's number of threads while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
