"""Describes a trained model: its configuration, its classes, and how an image becomes its pixels.

Importing this loads no torch, which the ONNX back end does without.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from common.errors import UserError
from datasets.census.value_range import WHITES
from datasets.splits import Images
from results.analysis.final_run import RECORD, read_record
from results.records import FinalRecord
from trainables.config import TrialConfig
from trainables.final_model.preprocessing import describe_preprocessing

KEY = "model"
"""An exported file holds its `Description` under this key, as JSON."""

PREPROCESSING = "preprocessing"
"""That JSON has the result of `describe_preprocessing` under this key."""

MODEL = "model.pt"
"""The folder of a final training holds the weights in this file, beside their `RECORD`."""


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
    weights_sha256: in exported files, the checksum of the `MODEL` that they were made of.
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
    weights_sha256: str | None = field(default=None, compare=False)

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
        values = json.loads(text)
        return cls._validated(**{k: v for k, v in values.items() if k != PREPROCESSING})

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
        """Returns the description as one line of JSON, with the steps from an image file to the
        network's input under `PREPROCESSING`.
        """
        steps = describe_preprocessing(
            stored_px=self.stored_px,
            white=self.white,
            mean=self.mean,
            std=self.std,
            image_size=self.trial_config().image_size,
        )
        return json.dumps(asdict(self) | {PREPROCESSING: steps}, allow_nan=False)

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


def read_description(folder: Path) -> Description:
    """Reads the description of the model in a folder of final training, without its weights.

    Raises `RecordError` if its record is missing or damaged, and `ModelError` for a record of an
    older version.
    """
    record = read_record(folder / RECORD)
    try:
        description = Description.from_record(record)
        description.trial_config()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{folder / RECORD} must tell classes and pixels, but was written by an older version "
            f"or is damaged ({error}); train again with python -m trainables.final … --overwrite."
        ) from error
    return description


def damage_error(path: Path, error: Exception) -> ModelError:
    """Returns the `ModelError` about a damaged file, with the reason that `error` states."""
    reason = " ".join(str(error).split())
    return ModelError(
        f"{path} is damaged or is something else ({reason}); restore it from a copy, or train or "
        "export it again."
    )
