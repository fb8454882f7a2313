"""Imports torchvision without torch's compiler; other modules import its names from here.

torch imports its compiler, `torch._dynamo`, as soon as an optimizer is made, only to tell it to
leave the optimizer alone, and torchvision imports it for one question that nobody here asks. That
takes 1.2 s of one core in each process, and 5 s on a machine with a GPU and a slower disk, while
nearly no training is compiled. So an `_IdleCompiler` answers in its place until more is asked of
it, as `torch.compile` does; then it gives way to torch's own.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

import torch

_COMPILER, _UTILS = "torch._dynamo", "torch._dynamo.utils"


class _IdleCompiler:
    """An `_IdleCompiler` answers for torch's compiler in a process that compiles nothing.

    It is no module, so that what looks through all modules, as a pickler does, passes it over.
    """

    __spec__ = None  # the import system asks for it

    @staticmethod
    def disable(fn: Any = None, *_: Any, **__: Any) -> Any:
        """Returns the function as it is, because none is compiled, or a decorator that does so
        where it gets none.
        """
        return fn if fn is not None else lambda function: function

    @staticmethod
    def graph_break(*_: Any, **__: Any) -> None:
        """Does nothing, because nothing is traced."""

    def __getattr__(self, name: str) -> Any:
        """Gives way to torch's compiler, and returns what it has under this name. `__path__` leads
        to its submodules; other names of this form are asked of every module.
        """
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        if sys.modules.get(_COMPILER) is cast(Any, self):
            del sys.modules[_COMPILER]
            vars(torch).pop("_dynamo", None)
        return getattr(importlib.import_module(_COMPILER), name)


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Lets an `_IdleCompiler` answer from now on, and torchvision have its question answered later,
    unless this process has imported torch's compiler already.
    """
    if _COMPILER in sys.modules:
        yield
        return
    sys.modules[_COMPILER] = torch._dynamo = cast(ModuleType, _IdleCompiler())
    sys.modules[_UTILS] = utilities = ModuleType(_UTILS)
    utilities.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del sys.modules[_UTILS]


def _is_compile_supported(device: str) -> bool:
    return bool(importlib.import_module(_UTILS).is_compile_supported(device))


with _without_compiler():
    import torchvision
    from torchvision.models import get_model_weights
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
    from torchvision.transforms.v2 import functional

__all__ = ["BasicBlock", "Bottleneck", "ResNet", "functional", "get_model_weights", "torchvision"]
