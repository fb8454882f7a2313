"""Reads a trained model from disk with all that its use needs: configuration, classes, pixels."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from common.errors import UserError
from common.files import check_archive
from datasets.census.value_range import WHITES
from datasets.splits import Images
from results.analysis.final_run import RECORD, read_record
from results.records import FinalRecord
from trainables.config import TrialConfig
from trainables.models.network import Network, build
from trainables.models.setup import prepare_network
from trainables.models.weights_file import find_tensor_fault

MODEL = "model.pt"
"""The folder of a final training holds the weights in this file, beside their `RECORD`."""

KEY = "model"
"""An exported file holds its `Description` under this key, as JSON."""


class ModelError(UserError):
    """This error says that a model can't be read; its message names the file and the remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """A `Description` holds what the use of a model needs besides its weights, in plain values.

    config: the configuration of its training, with the precision that the model was tested in.
    class_ids, class_names: the classes, in the order of the logits.
    stored_px: side in pixels of the images that the model was trained on. Other images are brought
    to this size as `datasets.beton.decode` does.
    mean, std: what is subtracted from pixels, and what divides them then, as shares of 255.
    test_top1: the published top-1 accuracy on test, as a fraction.
    fingerprint: the dataset's fingerprint.
    terms: the terms of use of the dataset's images.
    white: the value that becomes 255 when images with more than 8 bits a channel are brought to 8
    (see `datasets.beton.high_depth.reduce_depth`). `None` means that the training images aren't
    known to have any; then 16-bit values are taken to end at 65535, and floats can't be used.
    """

    config: dict[str, Any]
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    stored_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    test_top1: float
    fingerprint: str
    terms: str
    white: int | None = None

    @classmethod
    def from_record(cls, record: FinalRecord) -> Self:
        """Builds the description of a final training from its record.

        Raises `KeyError`, `TypeError` or `ValueError` for a record of an older version, or with
        values that no model has.
        """
        provenance = record.provenance
        return cls._validated(
            config=record.config,
            class_ids=provenance["class_ids"],
            class_names=provenance["class_names"],
            stored_px=provenance["stored_px"],
            mean=provenance["mean"],
            std=provenance["std"],
            test_top1=record.test_top1,
            fingerprint=provenance["dataset_fingerprint"],
            terms=provenance["terms"],
            white=provenance.get("white"),
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parses the result of `to_json`.

        Raises `ValueError`, `KeyError` or `TypeError` for other text.
        """
        return cls._validated(**json.loads(text))

    @classmethod
    def _validated(cls, **values: Any) -> Self:
        """Builds a description. Raises `ValueError` for values that no model has."""
        lists = ("class_ids", "class_names", "mean", "std")
        description = cls(**values | {name: tuple(values[name]) for name in lists})
        numbers = all(type(value) is float for value in (*description.mean, *description.std))
        names = all(
            isinstance(name, str) for name in (*description.class_ids, *description.class_names)
        )
        if (
            len(description.class_ids) != len(description.class_names)
            or not description.class_ids
            or not names
        ):
            raise ValueError("its classes have no names")
        if (
            (len(description.mean), len(description.std)) != (3, 3)
            or not numbers
            or not all(description.std)
        ):
            raise ValueError("its mean and std are no shares of three channels")
        if type(description.stored_px) is not int or not 1 <= description.stored_px <= 1024:
            raise ValueError(f"images can't be stored at {description.stored_px!r} px")
        if description.white not in (None, *WHITES):
            raise ValueError(f"no customary range of values ends at {description.white!r}")
        return description

    def to_json(self) -> str:
        """Returns the description as one line of JSON."""
        return json.dumps(asdict(self), allow_nan=False)

    def trial_config(self) -> TrialConfig:
        """Returns the model's configuration.

        Raises `ConfigError` if the configuration breaks a rule.
        """
        return TrialConfig.from_record(self.config)

    def images(self) -> Images:
        """Returns the properties of the images for evaluation.

        They have `mean` and `std` in place of the dataset's own.
        """
        return Images(
            fingerprint=self.fingerprint,
            class_ids=self.class_ids,
            class_names=self.class_names,
            size=self.stored_px,
            mean=(self.mean[0], self.mean[1], self.mean[2]),
            std=(self.std[0], self.std[1], self.std[2]),
        )


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
    record, path = read_record(folder / RECORD), folder / MODEL
    try:
        description = Description.from_record(record)
        description.trial_config()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{folder / RECORD} must tell classes and pixels, but was written by an older version "
            f"or is damaged ({error}); train again with python -m trainables.final … --overwrite."
        ) from error
    try:
        check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # zipfile and torch raise a dozen types for broken content
        raise _damage_error(path, error) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise _damage_error(path, ValueError("it holds no state dict"))
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
        raise _damage_error(path, error) from error
    _check_tensors(path, state)
    return SavedModel(description=description, state=state)


def _check_tensors(path: Path, state: dict[str, Tensor]) -> None:
    """Raises `ModelError` for tensors with which nothing can be computed."""
    if fault := find_tensor_fault(state):
        raise _damage_error(path, ValueError(f"it has {fault}"))


def _damage_error(path: Path, error: Exception) -> ModelError:
    """Returns the `ModelError` about a damaged file, with the reason that `error` states."""
    reason = " ".join(str(error).split())
    return ModelError(
        f"{path} is damaged or is something else ({reason}); restore it from a copy, or train or "
        "export it again."
    )
