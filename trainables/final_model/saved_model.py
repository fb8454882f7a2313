"""Reads a trained model from disk with all that its use needs: configuration, classes, pixels."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from common.files import check_archive
from trainables.final_model.description import (
    KEY,
    MODEL,
    Description,
    ModelError,
    damage_error,
    read_description,
)
from trainables.models.network import Network, build
from trainables.models.setup import prepare_network
from trainables.models.weights_file import find_tensor_fault


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SavedModel:
    """A `SavedModel` is a model as it was read from disk.

    state: the network's state dict, on the CPU.
    """

    description: Description
    state: dict[str, Tensor]

    def network(self, device: torch.device) -> Network:
        """Builds the network in evaluation mode on `device`.

        Raises `ModelError` if the weights don't fit, and `NetworkError` if the network can't be
        built.
        """
        config = self.description.trial_config()
        with torch.random.fork_rng(devices=[]):  # the random weights are replaced at once
            network = build(config, len(self.description.class_ids))
        try:
            network.load_state_dict(self.state)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"The weights must be those of the network that goes with them, {config.network}, "
                f"but they aren't ({reason:.200}); restore both from a copy."
            ) from error
        return prepare_network(network, config, device).eval()


def read_model(path: Path) -> SavedModel:
    """Reads a model from a folder of final training, or from an exported `.safetensors` file.

    No code from these files runs. Raises `ModelError` for a missing or damaged file, and
    `RecordError` for a missing or damaged record of the training.
    """
    if path.is_dir():
        return _read_folder(path)
    if path.is_file() and path.suffix == ".safetensors":
        return _read_safetensors(path)
    raise ModelError(
        "MODEL must be a folder of final training or a .safetensors file that "
        f"trainables.export wrote, but {path} is neither: give runs/NAME/final."
    )


def _read_folder(folder: Path) -> SavedModel:
    """Reads a model from a folder of final training.

    Raises `RecordError` if its record is missing or damaged, and `ModelError` if another file is.
    """
    description, path = read_description(folder), folder / MODEL
    try:
        check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # zipfile and torch raise a dozen types for broken content
        raise damage_error(path, error) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise damage_error(path, ValueError("it holds no state dict"))
    _check_tensors(path, state)
    return SavedModel(description=description, state=state)


def _read_safetensors(path: Path) -> SavedModel:
    """Reads a model from an exported safetensors file.

    Raises `ModelError` if the file is unusable.
    """
    try:
        with safe_open(path, framework="pt") as file:
            description = Description.from_json((file.metadata() or {})[KEY])
            description.trial_config()
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except KeyError as error:
        raise ModelError(
            f"{path} must be a file that trainables.export wrote, but tells nothing of its "
            "classes and pixels; export it again, or give the folder of final training."
        ) from error
    except (SafetensorError, OSError, AttributeError, TypeError, ValueError) as error:
        raise damage_error(path, error) from error
    _check_tensors(path, state)
    return SavedModel(description=description, state=state)


def _check_tensors(path: Path, state: dict[str, Tensor]) -> None:
    """Raises `ModelError` for tensors with which nothing can be computed."""
    if fault := find_tensor_fault(state):
        raise damage_error(path, ValueError(f"it has {fault}"))
