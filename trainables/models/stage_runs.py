"""Runs the stages of a network one after the other, as they are or compiled."""

from collections.abc import Callable, Iterable
from functools import cache

import torch
from torch import Tensor, nn

from common.private_folder import keep_compiled_private

_KINDS = 64
"""At most this many kinds of stages are compiled in one process; others run without compilation."""


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
