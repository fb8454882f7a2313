"""Asks NVML, the library of NVIDIA's driver, which cards this machine has.

It is called through its C interface: a few functions need no package, and NVML answers where torch
can't, which tells a machine without a GPU from one whose torch doesn't fit its driver.
"""

import ctypes
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

LIBRARY = "libnvidia-ml.so.1"

_BYTES = 96
"""NVML writes names of at most this many bytes."""


PROHIBITED, EXCLUSIVE = 2, 3
"""These compute modes of a card let in no process, and one process at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """Describes an NVIDIA card: its name, the UUIDs of its MIG slices, which are `None` where it
    isn't divided, and its compute mode, which is 0 where it lets in every process or NVML doesn't
    know.
    """

    name: str
    uuid: str
    slices: tuple[str, ...] | None = None
    mode: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Driver:
    """Holds the version of NVIDIA's driver, and the cards that it shows this process, whatever
    CUDA_VISIBLE_DEVICES is. A container shows only its own.
    """

    version: str = ""
    cards: tuple[Card, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """Holds what a card does now: the share of the last moments in which it computed, 0…1, and its
    memory in use and in all, in bytes.
    """

    busy: float
    used_bytes: int
    total_bytes: int


class _Rates(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_ulonglong) for name in ("total", "free", "used"))


def read_loads(library: str = LIBRARY) -> list[Load]:
    """Returns the load of each card that NVML can tell it of; a divided card has none."""
    try:
        nvml = ctypes.CDLL(library)
        if nvml.nvmlInit_v2():
            return []
    except (OSError, AttributeError):
        return []
    found = list[Load]()
    with suppress(AttributeError):
        found = list(_loads(nvml))
    nvml.nvmlShutdown()
    return found


def read_driver(library: str = LIBRARY) -> Driver:
    """Returns what NVML knows: no card where it can't be loaded, doesn't begin, or is too old to
    have these functions.
    """
    try:
        nvml = ctypes.CDLL(library)
        if nvml.nvmlInit_v2():
            return Driver()
    except (OSError, AttributeError):
        return Driver()
    version, cards = "", tuple[Card, ...]()
    with suppress(AttributeError):
        version = _text(nvml.nvmlSystemGetDriverVersion)
        cards = tuple(_cards(nvml))
    nvml.nvmlShutdown()
    return Driver(version=version, cards=cards)


def driver_loads() -> bool:
    """Returns whether CUDA's driver library can be loaded. Without it, no CUDA program, torch
    included, sees a GPU.
    """
    with suppress(OSError):
        ctypes.CDLL("libcuda.so.1")
        return True
    return False


def _handles(nvml: ctypes.CDLL) -> Iterator[ctypes.c_void_p]:
    count = ctypes.c_uint(0)
    nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    for index in range(count.value):
        handle = ctypes.c_void_p()
        if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) == 0:
            yield handle


def _cards(nvml: ctypes.CDLL) -> Iterator[Card]:
    for handle in _handles(nvml):
        yield Card(
            name=_text(nvml.nvmlDeviceGetName, handle),
            uuid=_text(nvml.nvmlDeviceGetUUID, handle),
            slices=_slices(nvml, handle),
            mode=_mode(nvml, handle),
        )


def _loads(nvml: ctypes.CDLL) -> Iterator[Load]:
    for handle in _handles(nvml):
        rates, memory = _Rates(), _Memory()
        failed = nvml.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(rates))
        if not failed and nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == 0:
            yield Load(busy=rates.gpu / 100, used_bytes=memory.used, total_bytes=memory.total)


def _slices(nvml: ctypes.CDLL, card: ctypes.c_void_p) -> tuple[str, ...] | None:
    now, next_boot, most = ctypes.c_uint(0), ctypes.c_uint(0), ctypes.c_uint(0)
    if not hasattr(nvml, "nvmlDeviceGetMigMode"):
        return None  # drivers from before MIG lack it
    if nvml.nvmlDeviceGetMigMode(card, ctypes.byref(now), ctypes.byref(next_boot)) or not now.value:
        return None  # cards before the A100 can't be divided
    nvml.nvmlDeviceGetMaxMigDeviceCount(card, ctypes.byref(most))
    found = []
    for index in range(most.value):
        handle = ctypes.c_void_p()
        if nvml.nvmlDeviceGetMigDeviceHandleByIndex(card, index, ctypes.byref(handle)) == 0:
            found.append(_text(nvml.nvmlDeviceGetUUID, handle))
    return tuple(found)


def _mode(nvml: ctypes.CDLL, card: ctypes.c_void_p) -> int:
    mode = ctypes.c_uint(0)
    known = hasattr(nvml, "nvmlDeviceGetComputeMode")
    failed = not known or nvml.nvmlDeviceGetComputeMode(card, ctypes.byref(mode))
    return 0 if failed else mode.value


def _text(ask: "ctypes._NamedFuncPointer", *arguments: object) -> str:
    """Returns a text that a function of NVML writes; it is empty where the function fails."""
    text = ctypes.create_string_buffer(_BYTES)
    failed = ask(*arguments, text, _BYTES)
    return "" if failed else text.value.decode("utf-8", errors="replace")
