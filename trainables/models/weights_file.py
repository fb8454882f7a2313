"""Reads the tensors of a network from a file that a training script saved, and runs no code in it.

Scripts save more than a state dict. They put it into an entry of a dictionary, beside an optimizer
or their options, and wrappers such as DistributedDataParallel add a prefix to each name.
"""

import logging
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from common.files import check_archive
from trainables.models.base import WeightsError

logger = logging.getLogger(__name__)

_ENTRIES = ("state_dict_ema", "state_dict", "model_state_dict", "model", "module", "model_ema")
"""Scripts save the state dict under one of these keys. The first key of this list that a file has
is taken: averaged weights come first where timm's name says that they are meant to be used.
"""
_DEEPEST = 4
"""An entry is looked for inside at most this many others; a file's content may contain itself."""
_OUTER = ("module", "model", "backbone")
"""Wrappers put these words before each name: DistributedDataParallel, Lightning, and others."""
_INNER = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Wrappers of single modules, such as torch.compile, put these words anywhere into a name."""
_COUNTERS = ("n_averaged", "epoch", "step", "global_step", "loss")
"""A tensor of one of these names is no weight: `AveragedModel` counts in the first."""
_NEEDED_CODE = re.compile(r"GLOBAL ([\w.]+)|<class '(\w+\.[\w.]+)'>")
"""This pattern finds the class or function in torch's message that it won't be loaded."""


class _Placeholder:
    """A `_Placeholder` takes the place of an object whose class torch doesn't know to be harmless.

    The object's class isn't imported, and whatever the file says about the object is dropped.
    """

    def __init__(self, *_: object) -> None:
        """Drops the arguments of the object's constructor."""

    def __setstate__(self, _: object) -> None:
        """Drops whatever the object's attributes were."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileWeights:
    """A `FileWeights` holds the tensors of a file, and which entries of the file they are.

    tensors: the tensors by name, without the prefixes of wrappers.
    entry: the keys that lead to them, joined by dots; empty for a bare state dict.
    copies: other entries that hold a state dict.
    extras: other entries that are no weights, such as an optimizer or the number of the epoch.
    """

    tensors: dict[str, Tensor]
    entry: str
    copies: tuple[str, ...]
    extras: tuple[str, ...]

    def log_choice(self, path: Path) -> None:
        """Logs which entries of the file at `path` are used, as a warning if there are copies."""
        if self.copies:
            text = "%s: the weights under %s are used, and not those under %s."
            logger.warning(text, path, self.entry, ", ".join(self.copies))
        if self.extras:
            logger.info("%s: not used are %s.", path, ", ".join(self.extras))


def read_weights(path: Path) -> FileWeights:
    """Reads a file of weights.

    Raises `WeightsError` if the file is damaged, needs code to be read, or holds no state dict.
    """
    content: Any = _load(path)
    entry: list[str] = []
    copies: list[str] = []
    extras: list[str] = []
    while (found := _state_dicts(content)) and len(entry) < _DEEPEST:
        copies += found[1:]
        extras += [str(key) for key in content if key not in found]
        entry.append(found[0])
        content = content[found[0]]
    tensors: dict[str, Tensor] = {}
    for key, value in content.items() if isinstance(content, Mapping) else ():
        name = _strip_wrappers(str(key))
        if not isinstance(value, Tensor) or name in _COUNTERS:
            extras.append(str(key))
        elif name in tensors:
            raise WeightsError(
                f"Weights must have one tensor of each name, but {path} has several of {name}, "
                "which differ in prefix: save one of them."
            )
        else:
            tensors[name] = value
    if not tensors:
        raise _no_state_dict(content, path)
    if fault := find_tensor_fault(tensors):
        raise WeightsError(
            f"Weights must be finite numbers that the file holds, but {path} has {fault}: fetch it "
            "again, or save `model.state_dict()` of a training that went well."
        )
    return FileWeights(
        tensors=tensors, entry=".".join(entry), copies=tuple(copies), extras=tuple(extras)
    )


def find_tensor_fault(tensors: Mapping[str, Tensor]) -> str | None:
    """Returns which tensors can't be used and why, as «NaN or infinite values in fc.bias», or
    `None` where all can be.

    torch compares the stored numbers with the file, but a tensor may claim any size beside: by
    steps of length 0 through them, or by having no storage at all.
    """
    faults: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
            fault = "no plain numbers"
        elif tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            fault = "fewer values than claimed"
        elif not _are_finite(tensor):
            fault = "NaN or infinite values"
        else:
            continue
        faults.setdefault(fault, []).append(name)
    named = [(each, *names[:3], *["…"] * (len(names) > 3)) for each, names in faults.items()]
    return "; ".join(f"{each} in {', '.join(names)}" for each, *names in named) or None


def _are_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point():
        return True
    values = tensor if tensor.element_size() == 8 else tensor.float()  # some types lack isfinite
    return bool(torch.isfinite(values).all())


def _state_dicts(content: Any) -> list[str]:
    """Returns the keys of `content` under which a state dict may be, the preferred one first."""
    if not isinstance(content, Mapping):
        return []
    return [k for k in _ENTRIES if isinstance(content.get(k), Mapping) and content[k]]


def _strip_wrappers(name: str) -> str:
    """Returns a tensor's name without the words that wrappers have added, in any order."""
    words = [word for word in name.split(".") if word not in _INNER]
    while len(words) > 1 and words[0] in _OUTER:
        del words[0]
    return ".".join(words)


def _load(path: Path) -> Any:
    """Returns the content of a file that torch.save wrote, with placeholders for objects of other
    classes than torch's.

    Raises `WeightsError` if the file can't be read, or not without code.
    """
    with explain_read_errors(path):
        _check_archive_once(path, path.stat().st_mtime_ns)
        with safe_globals(_make_placeholders(path)):
            return torch.load(path, map_location="cpu", weights_only=True)


def _make_placeholders(path: Path) -> list[Any]:
    """Returns a class of placeholders for each class and function that torch would refuse to load.

    Their names alone are read. torch replaces the named by the classes given, so that a script's
    options or a numpy number beside the weights are no obstacle. torch itself never loads anything
    from the modules os and sys. Its format before 1.6 doesn't list the names.
    """
    names = get_unsafe_globals_in_checkpoint(str(path)) if zipfile.is_zipfile(path) else []
    parts = [name.rpartition(".") for name in names]
    return [type(name, (_Placeholder,), {"__module__": module}) for module, _, name in parts]


@contextmanager
def explain_read_errors(path: Path) -> Iterator[None]:
    """Turns errors while a file is read into `WeightsError`, which names the file.

    For broken content, torch raises a dozen types of errors.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if needed := _NEEDED_CODE.search(str(error)):
            raise _needs_code(path, needed[1] or needed[2]) from error
        raise WeightsError(
            f"Weights must be a state dict that torch.save wrote, but {path} can't be read as one: "
            "fetch it again, or save `model.state_dict()` alone."
        ) from error


@lru_cache(maxsize=16)
def _check_archive_once(path: Path, _changed_ns: int) -> None:
    """Calls `check_archive` once per process and state of a file.

    torch's format before 1.6 has no checksums, so such a file isn't checked.
    """
    if zipfile.is_zipfile(path):
        check_archive(path)


def _no_state_dict(content: Any, path: Path) -> WeightsError:
    """Returns the error for a file without a state dict; `content` is what was found instead."""
    inside = content.values() if isinstance(content, Mapping) else [content]
    for value in inside:
        if isinstance(value, _Placeholder):
            return _needs_code(path, f"{type(value).__module__}.{type(value).__name__}")
    keys = [str(key) for key in content] if isinstance(content, Mapping) else []
    held = ", ".join(keys[:5]) + (" …" if len(keys) > 5 else "") or type(content).__name__
    return WeightsError(
        f"Weights must be a state dict, bare or under one of {', '.join(_ENTRIES)}, but {path} "
        f"holds something else ({held}): save `model.state_dict()`."
    )


def _needs_code(path: Path, name: str) -> WeightsError:
    """Returns the error for a file whose weights are inside an object of the class `name`."""
    return WeightsError(
        f"Weights must be plain tensors, as a file's code is never run here, but {path} needs "
        f"{name}: load it where it was made and save `model.state_dict()` alone."
    )
