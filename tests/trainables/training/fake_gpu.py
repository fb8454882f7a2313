"""A GPU without data: tensors that claim to be there, and a record of what a host waits for."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainables.augmentation import batch, policies

CUDA = torch.device("cuda")
_READS = (
    "_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "equal.", "_unique", "unique",
    "bincount", "repeat_interleave.Tensor",
)  # fmt: skip
"""Operations whose result the host reads, or whose shape depends on values."""


class Waits(TorchDispatchMode):
    """Notes each operation on the fake GPU that would make the host wait for a real one.

    A copy from the CPU's pageable memory that isn't `non_blocking` ends in a synchronisation of
    the stream (ATen/native/cuda/Copy.cu, `memcpy_and_sync`), as does reading a value. A mask as an
    index is turned into positions first, whose number the host reads.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.operations = self.optimizer_steps = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = str(func).removeprefix("aten.")
        # Fake tensors lack these, whose kernels on a GPU leave nothing for the host to read.
        if name.startswith("_sample_dirichlet"):
            return torch.empty_like(args[0])
        if name.startswith("_amp_update_scale_"):
            return args[0]
        if name.startswith("_fused_") and name.endswith(".tensor_lr"):
            # A learning rate on the CPU is read (ATen/native/cuda/FusedAdamKernel.cu).
            self.found += [name] if kwargs["lr"].device.type == "cpu" else []
            self.optimizer_steps += 1
            return None
        out = func(*args, **kwargs)
        tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, torch.Tensor)]
        if any(t.device.type == "cuda" for t in tensors):
            self.operations += 1
            if name.startswith(_READS) or _blocks(name, args, kwargs, tensors):
                self.found.append(name)
        return out


def _blocks(name: str, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> bool:
    """Whether an operation copies between devices and waits for it, or looks up a mask."""
    if name.startswith(("_to_copy", "copy_", "_foreach_copy_")):
        waited = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2] is True))
        return waited and len({t.device.type for t in tensors}) > 1
    masks = tree_leaves(args[1]) if name.startswith(("index.", "index_put")) else []
    return any(m.dtype == torch.bool for m in masks if isinstance(m, torch.Tensor))


def _apply(module: nn.Module, fn: Any, recurse: bool = True) -> nn.Module:
    """Stands for `nn.Module._apply`, which exchanges memory that fake tensors don't have."""
    for child in module.children() if recurse else ():
        _apply(child, fn)
    for name, weight in module._parameters.items():
        if weight is not None:
            module._parameters[name] = nn.Parameter(fn(weight.detach()), weight.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = fn(buffer)
    return module


def _deepcopy(tensor: torch.Tensor, _: Any) -> torch.Tensor:
    """Stands for a tensor's `__deepcopy__`, which looks at memory that fake tensors don't have."""
    copy = tensor.detach().clone()
    return nn.Parameter(copy, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy


@contextmanager
def fake_gpu(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tensors made inside are fake; `CUDA` is a device, and autocast and scaling work on it."""
    constants = (batch._shift_and_scale_once, policies._table)
    for cached in constants:
        cached.cache_clear()
    patch.setattr(nn.Module, "_apply", _apply)
    patch.setattr(torch.Tensor, "__deepcopy__", _deepcopy)
    patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    patch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield
    for cached in constants:
        cached.cache_clear()
