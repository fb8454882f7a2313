"""Runs the stages of a network one after the other, as they are, in parts of a batch, or
compiled.
"""

from collections.abc import Callable, Iterable
from functools import cache

import torch
from torch import Tensor, nn

from common.private_folder import keep_compiled_private

_KINDS = 64
"""At most this many kinds of stages are compiled in one process; others run without compilation."""

CPU_PIXELS = 1 << 18
"""On a CPU, images without a gradient run in parts of about this many pixels: 64 images of 64 px,
16 of 128 px, so that most maps stay in the processor's caches.

On two Zen 4 threads, in float32, as images/s in parts of 4, 8, 16, 32, 64 and 128 images, with
BatchNorm folded where it can be (`folding`): EfficientNet-Lite0 at 64 px 330, 526, 694, 946, 1,039,
785; at 128 px 188, 259, 318, 236, 187, 147; at 224 px 103, 74, 82, 61, 53, 31; ResNet-18 at 64 px
201, 291, 385, 412, 412, 428; five convolutions 368, 423, 513, 338, 332, 229.
"""

FEWEST = 4
"""Images run in parts of at least this many."""


def images_at_once(image_size: int) -> int:
    """Returns how many images of this side run at once on a CPU, without a gradient."""
    return max(FEWEST, CPU_PIXELS // image_size**2)


def run_in_parts(stages: Iterable[nn.Module], images: Tensor) -> Tensor:
    """Runs images (B, 3, S, S) through the stages like `run`, on a CPU in parts that fit caches."""
    if images.device.type != "cpu" or torch.compiler.is_compiling():
        return run(stages, images)
    parts = torch.split(images, images_at_once(images.shape[-1]))
    return run(stages, images) if len(parts) == 1 else torch.cat([run(stages, p) for p in parts])


def run(stages: Iterable[nn.Module], features: Tensor) -> Tensor:
    """Runs `features` through the stages, one after the other, and returns the last one's
    output.
    """
    for stage in stages:
        features = stage(features)
    return features


@cache
def compiled_run() -> Callable[[Iterable[nn.Module], Tensor], Tensor]:
    """Returns `run` compiled by `torch.compile`, which compiles each new kind of stages once.

    A kind is given by the stages, the number of frozen ones, and the precision. Another network of
    the same kind runs the same code with its own weights. Compilation takes a minute on a CPU; this
    is not yet measured on a GPU.
    """
    keep_compiled_private()
    torch._dynamo.config.recompile_limit = _KINDS
    return torch.compile(run)
