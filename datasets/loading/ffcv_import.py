"""FFCV's names; import them from here, never from `ffcv`.

`import ffcv` alone takes 5 s, nearly all of it to compile one numba typed dictionary that is then
used as a plain one, and it sets torch's threads to one. Here it gets a plain dictionary, and
torch's threads stay as they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from numba import typed


@contextmanager
def _quick_and_quiet() -> Iterator[None]:
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
