"""A trained model on disk, with all that its use takes: configuration, classes, pixels."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from common.errors import UserError
from common.files import check_archive, read_json
from datasets.splits import Images
from results.records import FinalRecord, RecordError
from trainables.config import TrialConfig
from trainables.models.network import Network, build
from trainables.models.setup import prepare_network

MODEL, RECORD = "model.pt", "final.json"
"""In the folder of a final training: the weights, and what they are."""

KEY = "model"
"""Under which an exported file carries its `Description`, as JSON."""


class ModelError(UserError):
    """A model can't be read; the message names the file and the remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What a model's use takes besides its weights, in plain values that travel with them.

    config: of its training, with the precision it was tested in. class_ids, class_names: in the
    order of its logits. stored_px: side of the images it was trained from; others are brought to
    it as `datasets.beton.decode` does. mean, std: what pixels are shifted and scaled by, as shares
    of 255. test_top1: as it was published. fingerprint: of the dataset.
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

    @classmethod
    def of(cls, record: FinalRecord) -> Self:
        """Of a final training. Raises `KeyError` and `TypeError` for an older one's record."""
        told = record.provenance
        return cls._checked(
            config=record.config,
            class_ids=told["class_ids"],
            class_names=told["class_names"],
            stored_px=told["stored_px"],
            mean=told["mean"],
            std=told["std"],
            test_top1=record.test_top1,
            fingerprint=told["dataset_fingerprint"],
            terms=told["terms"],
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` gave. Raises `ValueError`, `KeyError` and `TypeError`."""
        return cls._checked(**json.loads(text))

    @classmethod
    def _checked(cls, **values: Any) -> Self:
        lists = ("class_ids", "class_names", "mean", "std")
        found = cls(**values | {name: tuple(values[name]) for name in lists})
        numbers = all(type(value) is float for value in (*found.mean, *found.std))
        names = all(isinstance(name, str) for name in (*found.class_ids, *found.class_names))
        if len(found.class_ids) != len(found.class_names) or not found.class_ids or not names:
            raise ValueError("its classes have no names")
        if (len(found.mean), len(found.std)) != (3, 3) or not numbers or not all(found.std):
            raise ValueError("its mean and std are no shares of three channels")
        if type(found.stored_px) is not int or not 1 <= found.stored_px <= 1024:
            raise ValueError(f"images can't be stored at {found.stored_px!r} px")
        return found

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), allow_nan=False)

    def trial_config(self) -> TrialConfig:
        """The configuration. Raises `ConfigError`."""
        return TrialConfig.from_record(self.config)

    def images(self) -> Images:
        """As evaluation takes them: with `mean` and `std` as if they were the dataset's own."""
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
    """A model as it was read: `state` is the network's state dict, on the CPU."""

    description: Description
    state: dict[str, Tensor]

    def network(self, device: torch.device) -> Network:
        """It, in evaluation mode on `device`. Raises `ModelError` where the weights don't fit."""
        config = self.description.trial_config()
        with torch.random.fork_rng(devices=[]):  # weights are drawn, and replaced
            network = build(config, len(self.description.class_ids))
        try:
            network.load_state_dict(self.state)
        except RuntimeError as error:
            said = " ".join(str(error).split())
            raise ModelError(
                f"The weights must be those of the network that goes with them, {config.network}, "
                f"but they aren't ({said:.200}); restore both from a copy."
            ) from error
        return prepare_network(network, config, device).eval()


def read_model(path: Path) -> SavedModel:
    """A folder of final training, or a `.safetensors` file that was exported.

    Nothing in them is run. Raises `ModelError`.
    """
    if path.is_dir():
        return _read_folder(path)
    if path.is_file() and path.suffix == ".safetensors":
        return _read_safetensors(path)
    raise ModelError(
        "MODEL must be a folder of final training or a .safetensors file that "
        f"trainables.export wrote, but {path} is neither: give runs/NAME/final."
    )


def read_record(folder: Path) -> FinalRecord:
    """The record of a final training. Raises `ModelError`."""
    path = folder / RECORD
    try:
        return FinalRecord.from_json(read_json(path))
    except FileNotFoundError:
        raise ModelError(
            f"{folder} holds no finished final training ({RECORD} is missing); give the folder "
            "that trainables.final has written."
        ) from None
    except (RecordError, ValueError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from error


def _read_folder(folder: Path) -> SavedModel:
    record, path = read_record(folder), folder / MODEL
    try:
        description = Description.of(record)
        description.trial_config()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{folder / RECORD} must tell classes and pixels, but was written by an older version "
            f"or is damaged ({error}); train again with python -m trainables.final --overwrite."
        ) from error
    try:
        check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # zipfile and torch raise a dozen types for broken content
        raise _damaged(path, error) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise _damaged(path, ValueError("it holds no state dict"))
    return SavedModel(description=description, state=state)


def _read_safetensors(path: Path) -> SavedModel:
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
        raise _damaged(path, error) from error
    return SavedModel(description=description, state=state)


def _damaged(path: Path, error: Exception) -> ModelError:
    said = " ".join(str(error).split())
    return ModelError(
        f"{path} is damaged or is something else ({said}); restore it from a copy, or train or "
        "export it again."
    )
