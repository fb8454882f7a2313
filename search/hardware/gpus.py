"""Finds the GPUs that trials can train on, once, on the machine where trials run.

torch decides, because it trains: a process of its own counts the GPUs and computes on each. NVML is
asked beside it, to tell a machine without a GPU from one whose GPUs torch can't use.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from common.nvml import EXCLUSIVE, PROHIBITED, Driver, driver_loads, read_driver
from common.text import last_lines
from search.hardware.packing import serves_mps
from search.preflight import ROOT

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""CUDA reads this variable, when it begins in a process, for the GPUs that the process may use."""

PATIENCE_S = 120.0
"""A process has this time to list the GPUs: torch is imported first, and starts CUDA on each."""

_ON_CORES = "or train on cores with --gpus-per-trial 0"

_BUSY_SIGNS = ("busy or unavailable", "out of memory")
"""CUDA's errors have one of these texts on a GPU that other processes hold: one in the mode
«exclusive process», or one whose memory is taken. They are from CUDA's documentation.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """Describes a GPU, or a MIG slice of one, which counts as a GPU of its own.

    id: the word by which CUDA_VISIBLE_DEVICES names it.
    uuid: its UUID; empty where it isn't known.
    memory_bytes: its whole memory, and 0 where that isn't known, as on nodes that join later.
    free_bytes: what other processes have left of it.
    capability: the CUDA compute capability, such as 9.0.
    mig: whether it is a slice.
    exclusive: whether it lets in one process at a time, as its compute mode can demand; under MPS
        the daemon is that process.
    """

    id: str
    name: str
    uuid: str = ""
    memory_bytes: int = 0
    free_bytes: int = 0
    capability: str = ""
    mig: bool = False
    exclusive: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuSurvey:
    """Holds the GPUs that trials can train on, and a sentence for each reason why the machine has
    others that they can't: one that the user has to mend (`faults`), or one that only leaves a GPU
    idle while others train (`notes`).
    """

    gpus: tuple[Gpu, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Ask = Callable[[Sequence[str]], dict[str, Any]]
"""Such a function returns what `trainables.profiling.visible_gpus` prints for some ids. It raises
`OSError`, `ValueError` and `subprocess.SubprocessError`.
"""


def ask_torch(ids: Sequence[str]) -> dict[str, Any]:
    """Returns the GPUs that torch can use, as an `Ask`."""
    command = [sys.executable, "-m", "trainables.profiling.visible_gpus", *ids]
    answer = subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace",
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    if answer.returncode:
        raise ValueError(last_lines(answer.stderr) or f"exit code {answer.returncode}")
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def find_gpus(
    environment: Mapping[str, str] = os.environ,
    driver: Driver | None = None,
    ask: Ask | None = None,
) -> GpuSurvey:
    """Returns the GPUs of this machine that CUDA_VISIBLE_DEVICES leaves to this process.

    driver, ask: what NVML and torch answer (default: they are asked). torch isn't asked, which
        takes seconds, where neither NVML knows a card nor CUDA's driver can be loaded.
    """
    visible = environment.get(VISIBLE)
    if visible is not None and _hides_all(visible):
        return GpuSurvey()
    driver = driver or read_driver()
    if ask is None and not driver.cards and not driver_loads():
        return GpuSurvey()
    ids = _slices(visible, driver)
    try:
        answer = (ask or ask_torch)(ids)
    except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
        return GpuSurvey(faults=(_explain_silence(error, driver),))
    answers = answer["answers"]
    if ids:
        listed = [
            (n, each["gpus"][0]) for n, each in zip(ids, answers, strict=True) if each["gpus"]
        ]
    else:
        names = visible.split(",") if visible else map(str, count())
        listed = list(zip(names, answers[0]["gpus"], strict=False))  # CUDA stops at a wrong name
    modes = [_find_mode(name, gpu, driver) for name, gpu in listed]
    shared = serves_mps(environment)
    good = tuple(
        _gpu(name, gpu, exclusive=mode == EXCLUSIVE and not shared)
        for (name, gpu), mode in zip(listed, modes, strict=True)
        if not gpu["error"]
    )
    faults = list[str]()
    notes = _note_absent(visible, ids, answers, len(listed), driver) if listed else []
    for (name, gpu), mode in zip(listed, modes, strict=True):
        if failure := gpu["error"]:
            closed, one = mode == PROHIBITED, _gpu(name, gpu)
            if not closed and not any(sign in failure for sign in _BUSY_SIGNS):
                faults.append(_explain_failure(one, failure, answer, good))
            elif good:
                why = (
                    "its compute mode is «prohibited»" if closed else f"others hold it ({failure})"
                )
                notes.append(f"GPU {name} ({gpu['name']}) stays idle: {why}.")
            else:
                faults.append(_explain_closed(one.name) if closed else _explain_busy(one, failure))
    if not listed and driver.cards:
        faults.append(_explain_none(visible, answer, driver))
    return GpuSurvey(gpus=good, faults=tuple(faults), notes=tuple(notes))


@contextmanager
def show_gpus(gpus: Sequence[Gpu]) -> Iterator[None]:
    """Lets the processes that the block starts see these GPUs and no others, in this order, which
    is the one that Ray counts them in.
    """
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = ",".join(gpu.id for gpu in gpus)
    try:
        yield
    finally:
        os.environ.pop(VISIBLE)
        if before is not None:
            os.environ[VISIBLE] = before


def _hides_all(visible: str) -> bool:
    """Returns whether somebody has set the variable so that CUDA sees no GPU: it sees those before
    the first that doesn't exist.
    """
    first = visible.partition(",")[0].strip().lower()
    return first in ("", "none", "nodevfiles") or first.startswith("-")


def _slices(visible: str | None, driver: Driver) -> tuple[str, ...]:
    """Returns the ids to ask for one by one, because there are MIG slices among them: those that
    are named, or all of the machine. Returns none where CUDA shows all GPUs to one process.
    """
    if visible is not None:
        return tuple(map(str.strip, visible.split(","))) if "MIG-" in visible else ()
    if all(card.slices is None for card in driver.cards):
        return ()
    divided = [(card.uuid,) if card.slices is None else card.slices for card in driver.cards]
    return tuple(name for names in divided for name in names)


def _note_absent(
    visible: str | None,
    ids: Sequence[str],
    answers: Sequence[Mapping[str, Any]],
    seen: int,
    driver: Driver,
) -> list[str]:
    """Returns a sentence for each GPU that torch doesn't see beside those that it sees: a slice, a
    card that is divided into no slice, and the names in CUDA_VISIBLE_DEVICES from one on that CUDA
    stops at. `seen` is the number of GPUs that torch sees.
    """
    notes = [
        f"GPU {name} stays idle: torch sees none there ({each['error'] or 'without an error'})."
        for name, each in zip(ids, answers, strict=False)
        if not each["gpus"]
    ]
    if visible is None:
        notes += [
            f"GPU {card.uuid} ({card.name}) stays idle: MIG is on without an instance."
            for card in driver.cards
            if card.slices == ()
        ]
    elif not ids and not _hides_all(rest := ",".join(visible.split(",")[seen:])):
        notes.append(
            f"GPUs {rest} stay idle: torch sees none of {VISIBLE}={visible} from there on."
        )
    return notes


def _find_mode(name: str, listed: Mapping[str, Any], driver: Driver) -> int:
    """Returns the compute mode of the card that a GPU is, or is a slice of; 0 where NVML doesn't
    know it.
    """
    for card in driver.cards:
        same = card.uuid.removeprefix("GPU-") == listed["uuid"].removeprefix("GPU-")
        if same or name.strip() in (card.slices or ()):
            return card.mode
    return 0


def _gpu(name: str, listed: Mapping[str, Any], *, exclusive: bool = False) -> Gpu:
    """Returns the GPU that CUDA_VISIBLE_DEVICES names so, from what torch has listed."""
    known = {key: value for key, value in listed.items() if key != "error"}
    return Gpu(id=name.strip(), mig=name.strip().startswith("MIG-"), exclusive=exclusive, **known)


def _explain_silence(error: Exception, driver: Driver) -> str:
    return (
        f"torch must list the GPUs of this machine ({_names(driver)}) within {PATIENCE_S:.0f} s, "
        f"but doesn't ({error}); see what `python -m trainables.profiling.visible_gpus` prints and "
        f"mend that, {_ON_CORES}."
    )


def _explain_failure(gpu: Gpu, error: str, answer: Mapping[str, Any], good: Sequence[Gpu]) -> str:
    others = ",".join(each.id for each in good)
    leave_out = f"leave it out with {VISIBLE}={others}, " if others else ""
    return (
        f"torch {answer['torch']}, built for CUDA {answer['cuda']}, must compute on GPU {gpu.id} "
        f"({gpu.name}, compute capability {gpu.capability}), but doesn't ({error}); {leave_out}"
        f"install a build of torch for it, {_ON_CORES}."
    )


def _explain_busy(gpu: Gpu, error: str) -> str:
    return (
        f"GPU {gpu.id} ({gpu.name}) must be free to train on it, but other processes hold it "
        f"({error}); wait for them, end those that `nvidia-smi` lists, {_ON_CORES}."
    )


def _explain_closed(names: str) -> str:
    return (
        f"A GPU must let processes in, but the compute mode of {names} is «prohibited»; change it "
        f"with `sudo nvidia-smi -c 0`, {_ON_CORES}."
    )


def _explain_none(visible: str | None, answer: Mapping[str, Any], driver: Driver) -> str:
    if answer["cuda"] is None:
        return (
            f"torch must be built for CUDA to train on {_names(driver)}, but {answer['torch']} "
            f"isn't; install a build for CUDA (https://pytorch.org), {_ON_CORES}."
        )
    if all(card.slices == () for card in driver.cards):
        return (
            f"A card whose MIG is on must have an instance, but {_names(driver)} has none; create "
            f"one with `nvidia-smi mig -cgi`, turn MIG off with `nvidia-smi -mig 0`, {_ON_CORES}."
        )
    if all(card.mode == PROHIBITED for card in driver.cards):
        return _explain_closed(_names(driver))
    if visible is not None:
        return (
            f"{VISIBLE} must name GPUs of this machine ({_names(driver)}), each one once, but got "
            f"{visible!r}, with which torch sees none; unset it, {_ON_CORES}."
        )
    why = ", ".join(dict.fromkeys(each["error"] for each in answer["answers"] if each["error"]))
    return (
        f"torch {answer['torch']}, built for CUDA {answer['cuda']}, must see {_names(driver)} by "
        f"driver {driver.version}, but sees none ({why or 'without an error'}); update the driver, "
        f"install a torch built for an older CUDA, {_ON_CORES}."
    )


def _names(driver: Driver) -> str:
    return ", ".join(card.name for card in driver.cards) or "of an unknown name"
