"""Imports FFCV without its side effects; other modules import its names from here.

`import ffcv` alone takes 5 s, nearly all of them to compile one numba typed dictionary that FFCV
then uses as a plain one. It also sets torch's number of threads to one. This module gives FFCV a
plain dictionary, and restores torch's number of threads.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from numba import typed


@contextmanager
def _quick_and_quiet() -> Iterator[None]:
    """Replaces numba's typed dictionary by a plain one during an import, and keeps torch's
    threads.
    """
    dictionary, threads = typed.Dict, torch.get_num_threads()
    typed.Dict = dict
    try:
        yield
    finally:
        typed.Dict = dictionary
        torch.set_num_threads(threads)


with _quick_and_quiet():
    from ffcv.fields.basics import IntDecoder
    from ffcv.fields.rgb_image import SimpleRGBImageDecoder
    from ffcv.loader import Loader
    from ffcv.loader.epoch_iterator import EpochIterator
    from ffcv.pipeline.compiler import Compiler
    from ffcv.transforms import Squeeze, ToTensor

__all__ = [
    "Compiler",
    "EpochIterator",
    "IntDecoder",
    "Loader",
    "SimpleRGBImageDecoder",
    "Squeeze",
    "ToTensor",
]
