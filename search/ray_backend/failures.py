"""Reads from Ray why the training of a trial broke off."""

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

from ray.tune.experiment import Trial

from results.records import StopReason
from search.ray_backend.ray_patches import NODE_LOST
from search.ray_backend.worker import TrialDiskError, TrialMemoryError

_HEADER = re.compile(r"^Failure # \d+ \(occurred at .*\)\n", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_RAISED = f"{TrialMemoryError.__module__}.{TrialMemoryError.__name__}: "
_REFUSED = re.compile(
    rf"^{TrialDiskError.__module__}.{TrialDiskError.__name__}: (.*)", re.MULTILINE
)
_KILLED = re.compile(r"^.* due to the node running low on memory.*$", re.MULTILINE)
"""Ray's memory monitor (ray 2.60.0) kills a worker before the system would, with this message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Describes why a training broke off.

    error: a traceback, or Ray's report; the last lines name the cause, as in a traceback.
    refusal: the sentence for the user about a disk that is full.
    node_lost: whether the worker's whole node was lost, which is no configuration's fault.
    """

    error: str
    reason: StopReason | None = None
    refusal: str | None = None
    node_lost: bool = False


def read_failure(trial: Trial) -> Failure:
    """Returns the latest failure of a trial.

    It is read from the file on this machine to which Ray appends each failure: `Trial.get_error`
    reads a copy that may be older, and lacks failures that aren't raised in a worker.
    """
    path = Path(trial.error_file or "")
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    error = _COLOUR.sub("", _HEADER.split(text)[-1]).strip()
    if killed := _KILLED.search(error):
        report = f"{indent(error, '  ')}\n{killed[0]}"
        return Failure(error=report, reason=StopReason.MEMORY)
    refused = _REFUSED.search(error)
    return Failure(
        error=error or "the worker ended without a word",
        reason=StopReason.MEMORY if _RAISED in error else None,
        refusal=refused[1] if refused else None,
        node_lost=NODE_LOST.search(error) is not None,
    )
