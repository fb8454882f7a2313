"""Saves and loads what an interrupted training needs: one file, which is complete or absent."""

import errno
import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from common.errors import RecordError, UserError
from common.files import check_archive, write_atomically
from results.records import EpochMetrics
from trainables.conditional_fields import CONDITIONAL_DEFAULTS, ONCE_UNCONDITIONAL
from trainables.config import TrialConfig
from trainables.models.network import Network, load_tensors
from trainables.training.auxiliary_state import NO_AUXILIARY_STATE, AuxiliaryState
from trainables.training.epoch import PartialEpoch


class CheckpointError(UserError):
    """This error says that a checkpoint can't be resumed; its message says why and what to do."""


def training_key(config: TrialConfig, data_fingerprint: str, network: Network) -> str:
    """Returns a hash of what must be equal for a resumed training to give the same numbers, on a
    CPU.

    Frozen stages count by content: they are not in the checkpoint, so the network that resumes
    brings its own. Fields at their defaults don't count, so a field that is added later, off by
    default, changes no key. The two fields of the schedule `step` had defaults in earlier versions,
    and don't count at those values. `micro_batch_size` doesn't count either: a training that ran
    out of memory continues with smaller pieces, and BatchNorm then changes its numbers a little.

    data_fingerprint: the dataset's fingerprint, see `datasets.manifest.Manifest`.
    """
    defaults = {field.name: field.default for field in fields(config)}
    defaults |= {name: CONDITIONAL_DEFAULTS[name] for name in ONCE_UNCONDITIONAL}
    comparable = config.but(micro_batch_size=None)
    settings = {k: v for k, v in comparable.to_dict().items() if v != defaults[k]}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(data_fingerprint.encode())
    network.hash_frozen_state(digest)
    return digest.hexdigest()


def snapshot(
    network: Network,
    optimizer: Optimizer,
    history: list[EpochMetrics],
    identity: str,
    auxiliary: AuxiliaryState = NO_AUXILIARY_STATE,
    partial: PartialEpoch | None = None,
) -> dict[str, Any]:
    """Returns what a checkpoint holds: trained stages, optimizer and auxiliary state, and the
    epochs.

    Tensors are copied to the CPU, so training may continue before they are written. Copies from a
    GPU go to pinned memory and are waited for once, all together.

    history: the metrics of all epochs so far.
    identity: the result of `training_key`.
    partial: the epoch after those in `history`, if a part of it is trained.
    """
    within = {} if partial is None else {"partial": partial.to_state()}
    content = within | {
        "identity": identity,
        "network": _copy_to_cpu(network.trained_state()),
        "optimizer": _copy_to_cpu(optimizer.state_dict()),
        "carried": _copy_to_cpu(auxiliary.state_dict()),
        "history": [asdict(epoch) for epoch in history],
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return content


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes a snapshot to `path`, atomically. This needs no GPU and may run in any thread."""
    write_atomically(path, lambda file: torch.save(content, file))


def remove_leftovers(path: Path) -> None:
    """Removes temporary files beside `path` of processes that were killed while they wrote."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        leftover.unlink(missing_ok=True)


def load(
    path: Path,
    network: Network,
    optimizer: Optimizer,
    identity: str,
    auxiliary: AuxiliaryState = NO_AUXILIARY_STATE,
) -> tuple[list[EpochMetrics], PartialEpoch | None]:
    """Restores network, optimizer and `auxiliary` in place, and returns the metrics of the past
    epochs, and the next epoch if a part of it is trained.

    Raises `CheckpointError` for a missing or damaged file, and for the checkpoint of another
    training.

    identity: the result of `training_key` for the training that resumes.
    """
    content = _read(path)
    if content["identity"] != identity:
        raise CheckpointError(
            f"A checkpoint must come from the same configuration, dataset and frozen weights, "
            f"but {path} comes from others: use those again, or delete it to start over."
        )
    load_tensors(network, content["network"])
    optimizer.load_state_dict(content["optimizer"])
    auxiliary.load_state_dict(content["carried"])
    return _history(path, content), _partial(path, content)


def read_history(path: Path) -> list[EpochMetrics]:
    """Returns the metrics of the epochs in the checkpoint at `path`.

    Raises `CheckpointError` for a missing or damaged file.
    """
    content = _read(path)
    _partial(path, content)
    return _history(path, content)


def _copy_to_cpu(value: Any) -> Any:
    """Returns a copy of a state dict in which every tensor is on the CPU; the copies from a GPU may
    still be under way.
    """
    if isinstance(value, torch.Tensor):
        pinned = value.device.type == "cuda"
        copy = torch.empty_like(value, device="cpu", pin_memory=pinned)
        return copy.copy_(value.detach(), non_blocking=pinned)
    if isinstance(value, dict):
        return {key: _copy_to_cpu(each) for key, each in value.items()}
    return [_copy_to_cpu(each) for each in value] if isinstance(value, list) else value


def _read(path: Path) -> dict[str, Any]:
    """Returns a checkpoint's content. Raises `CheckpointError` for a missing or damaged file."""
    if not path.is_file():
        raise CheckpointError(
            f"A checkpoint must be a file, but {path} is none: start without one, or give its path."
        )
    try:
        check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zipfile and torch raise a dozen types for broken content
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk is at fault; EINVAL means a position outside of a damaged file
        raise _damage_error(path) from error
    required = {"identity", "network", "optimizer", "carried", "history"}
    if not isinstance(content, dict) or not required <= content.keys():
        raise _damage_error(path)
    return content


def _history(path: Path, content: dict[str, Any]) -> list[EpochMetrics]:
    """Returns the metrics in a checkpoint's content.

    Raises `CheckpointError` if they are damaged.
    """
    try:
        return [EpochMetrics.from_json(epoch) for epoch in content["history"]]
    except RecordError as error:
        raise _damage_error(path) from error


def _partial(path: Path, content: dict[str, Any]) -> PartialEpoch | None:
    """Returns the partial epoch in a checkpoint's content, if there is one.

    Raises `CheckpointError` if it is damaged.
    """
    state = content.get("partial")
    try:
        return None if state is None else PartialEpoch.from_state(state)
    except (KeyError, TypeError, ValueError) as error:
        raise _damage_error(path) from error


def _damage_error(path: Path) -> CheckpointError:
    """Returns the `CheckpointError` about a damaged file."""
    return CheckpointError(
        f"A checkpoint must be a complete file of this project, but {path} is damaged or is "
        "something else: delete it to start over."
    )
