"""What this machine has, and how many trials run on it at once."""

import math
import os
import shutil
import subprocess
from dataclasses import dataclass

import psutil

from trainables.catalog import kept_numbers, parameters
from trainables.config import TrialConfig

MARGIN = 1.2
"""Memory on a GPU that a trial is given beyond what a few steps of it took."""

PROCESS_BYTES = 1 << 30
"""A worker's imports (Ray, torch, FFCV: 0.88 GiB) and what its loader holds."""

EXTERNAL_BYTES = 2 << 30
"""What a worker is allowed for where a library's network is trained, whose size isn't known."""

_COPIES, _AVERAGED_COPIES = 7, 2
"""Of every parameter: weight, gradient, two momenta, and all but the gradient once more while a
checkpoint is written. With `ema` its average too, and that one's copy."""

_ACTIVATIONS_MARGIN = 1.75
"""For their gradients and what convolutions work in, beside what is kept for the backward pass."""

_FEWEST_IMAGES = 64
"""An evaluation's 128 images, of which nothing is kept, take no more than these in training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Cores this process may use, memory in bytes, names of the GPUs."""

    cpus: int
    memory_bytes: int
    gpus: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """`concurrent` trials, each with `threads` CPU threads and a share `gpus` of a GPU.

    On a cluster each is promised `memory_bytes`, where that isn't 0; `beside` them, on GPUs, other
    trials run on nodes without one.
    """

    concurrent: int
    threads: int
    gpus: float
    why: str
    memory_bytes: int = 0
    beside: "Resources | None" = None

    @property
    def kinds(self) -> tuple["Resources", ...]:
        """These, and those beside them."""
        return (self, self.beside) if self.beside else (self,)

    @property
    def at_once(self) -> int:
        """Trials at the same time, of all kinds."""
        return sum(kind.concurrent for kind in self.kinds)


def machine() -> Machine:
    """Looks at this machine without importing torch."""
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        gpus=_gpus(),
    )


def _gpus() -> tuple[str, ...]:
    """Names of the NVIDIA GPUs that this process may see."""
    tool = shutil.which("nvidia-smi")
    if tool is None or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return ()
    query = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return ()
    names = tuple(found.stdout.split("\n")[:-1]) if found.returncode == 0 else ()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not visible:
        return names
    chosen = [device for device in visible.split(",") if not device.strip().startswith("-")]
    return names[: len(chosen)]


def gpu_share(needed_bytes: int, total_bytes: int) -> float:
    """The share of a GPU for a trial that needs `needed_bytes`, with a margin of a fifth.

    1/k for k trials a GPU, cut to hundredths so that k of them never exceed one.
    """
    trials = max(1, int(total_bytes / (needed_bytes * MARGIN)))
    return math.floor(100 / trials) / 100


def trials_by_gpu(machine: Machine, share: float) -> int:
    """How many trials with a share of a GPU each the GPUs of a machine hold.

    A trial doesn't reach over two GPUs for its share, so each holds whole trials.
    """
    if share <= 1:
        return len(machine.gpus) * int(1 / share)
    return int(len(machine.gpus) / share)


def worker_bytes(config: TrialConfig) -> int:
    """Memory that a worker on CPUs needs to train `config` in float32: an upper estimate.

    The process, the copies of each parameter, and what the network keeps of each image for its
    backward pass, as if no stage were frozen. Peaks of a process that trained and evaluated, by
    `resource.getrusage` on one thread of an AMD EPYC (Zen 4, torch 2.14), once each, AdamW, batch
    64: ResNet-18 at 64 px 1.27 GiB, where the rule says 1.50; with `ema` at 224 px 3.28 and 3.74;
    ResNet-50 at 64 px 1.86 and 2.41. No checkpoint was written there.
    """
    count = parameters(config.network)
    kept = kept_numbers(config.network, config.image_size, config.stem)
    if count is None or kept is None:
        return EXTERNAL_BYTES
    copies = _COPIES + (_AVERAGED_COPIES if config.ema > 0 else 0)
    images = max(config.micro_batch_size or config.batch_size, _FEWEST_IMAGES)
    numbers = copies * count + _ACTIVATIONS_MARGIN * images * kept
    return PROCESS_BYTES + round(4 * numbers)


def share(
    machine: Machine, *, concurrency: str, gpus_per_trial: str, trials: int, worker_bytes: int
) -> Resources:
    """How many trials run at once. `concurrency` and `gpus_per_trial` are `auto` or numbers.

    On GPUs one trial a GPU unless told otherwise, and a core for each. On CPUs one thread a trial
    and a trial a core, as far as four fifths of the memory go, at `worker_bytes` each: two trials
    of one thread train more images a second than one of two (measured with ResNet-18 and
    ResNet-50 on two cores).
    """
    if machine.gpus:
        gpus = 1.0 if gpus_per_trial == "auto" else float(gpus_per_trial)
    else:
        gpus = 0.0 if gpus_per_trial == "auto" else float(gpus_per_trial)
    if gpus:
        fitting = max(1, min(trials_by_gpu(machine, gpus), machine.cpus))
        why = f"{gpus:g} GPU a trial on {len(machine.gpus)}"
    else:
        by_memory = max(1, int(machine.memory_bytes * 0.8 / worker_bytes))
        fitting = min(machine.cpus, by_memory)
        memory = f"memory allows at {worker_bytes / (1 << 30):.1f} GiB each"
        limit = "cores allow" if fitting == machine.cpus else memory
        why = f"one thread a trial, as many as {limit}"
    if concurrency != "auto":
        asked = int(concurrency)
        # More than the GPUs hold would only wait for each other.
        fitting, why = (min(asked, fitting) if gpus else asked), "as asked"
    concurrent = min(fitting, trials)
    return Resources(
        concurrent=concurrent, threads=max(1, machine.cpus // concurrent), gpus=gpus, why=why
    )
