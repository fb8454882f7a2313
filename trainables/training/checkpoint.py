"""What an interrupted training goes on from: one file, complete or absent."""

import errno
import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from common.errors import UserError
from common.files import check_archive, write_atomically
from results.records import EpochMetrics, RecordError
from trainables.conditional_fields import LEFT_OUT, ONCE_UNCONDITIONAL
from trainables.config import TrialConfig
from trainables.models.network import Network, load_tensors
from trainables.training.auxiliary_state import NOTHING, AuxiliaryState


class CheckpointError(UserError):
    """A checkpoint can't be resumed from; the message says why and what to do."""


def training_key(config: TrialConfig, data_fingerprint: str, network: Network) -> str:
    """What must be equal for a resumed training to give the numbers of an uninterrupted one.

    Frozen stages count by content: they are not in the checkpoint, so the network that
    resumes brings its own. Fields at their defaults don't count, so that one which is added
    later, off by default, changes no identity. Those of the schedule `step` had theirs from the
    beginning. How many images go through the network at once doesn't count either: a training
    that ran out of memory goes on with fewer, to numbers that BatchNorm makes differ a little.
    """
    defaults = {field.name: field.default for field in fields(config)}
    defaults |= {name: LEFT_OUT[name] for name in ONCE_UNCONDITIONAL}
    whole = config.but(micro_batch_size=None)
    given = {k: v for k, v in whole.to_dict().items() if v != defaults[k]}
    digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode())
    digest.update(data_fingerprint.encode())
    for tensor in network.frozen_state().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def snapshot(
    network: Network,
    optimizer: Optimizer,
    history: list[EpochMetrics],
    identity: str,
    auxiliary: AuxiliaryState = NOTHING,
) -> dict[str, Any]:
    """What a checkpoint holds: trained stages, optimizer state, what else is carried, the epochs.

    Tensors are copied to the CPU, so training may go on before they are written.
    """
    return {
        "identity": identity,
        "network": _copied(network.trained_state()),
        "optimizer": _copied(optimizer.state_dict()),
        "carried": _copied(auxiliary.state_dict()),
        "history": [asdict(epoch) for epoch in history],
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes a snapshot, atomically. Needs no GPU and may run in any thread."""
    write_atomically(path, lambda file: torch.save(content, file))


def remove_leftovers(path: Path) -> None:
    """Removes what processes that were killed while writing have left beside `path`."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        leftover.unlink(missing_ok=True)


def load(
    path: Path,
    network: Network,
    optimizer: Optimizer,
    identity: str,
    auxiliary: AuxiliaryState = NOTHING,
) -> list[EpochMetrics]:
    """Restores network, optimizer and `auxiliary` in place; gives the epochs that were trained.

    Raises `CheckpointError` for a missing or damaged file and for another training's.
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
    return _history(path, content)


def read_history(path: Path) -> list[EpochMetrics]:
    """The epochs that the checkpoint at `path` holds. Raises `CheckpointError` as `load`."""
    return _history(path, _read(path))


def _copied(value: Any) -> Any:
    """A state dict with every tensor in it copied to the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(
            f"A checkpoint must be a file, but {path} is none: start without one, or give its path."
        )
    try:
        check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zipfile and torch raise a dozen types for broken content
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's fault; a place outside of the file is an invalid argument to it
        raise _damaged(path) from error
    wanted = {"identity", "network", "optimizer", "carried", "history"}
    if not isinstance(content, dict) or not wanted <= content.keys():
        raise _damaged(path)
    return content


def _history(path: Path, content: dict[str, Any]) -> list[EpochMetrics]:
    try:
        return [EpochMetrics.from_json(epoch) for epoch in content["history"]]
    except RecordError as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        f"A checkpoint must be a complete file of this project, but {path} is damaged or is "
        "something else: delete it to start over."
    )
