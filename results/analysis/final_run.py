"""Reads a final training from its folder: its record, its predictions on test, and its repeats with
other seeds.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import RecordError
from common.files import read_json
from common.text import printable
from results.analysis.intervals import Interval, interval_of_repeats
from results.predictions import Predictions, read_predictions
from results.records import FinalRecord

RECORD = "final.json"
"""A final training writes its record to a file of this name in its folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalRun:
    """Holds a final training. `record` and `predictions` belong to the training in `folder` itself,
    whose figures are published. `repeats` contains `record` first and then the records of the same
    configuration with other seeds.
    """

    folder: Path
    record: FinalRecord
    predictions: Predictions
    repeats: tuple[FinalRecord, ...]

    @property
    def provenance(self) -> dict[str, Any]:
        """Returns the provenance in the record: dataset, class names, selection, device and
        versions.
        """
        return self.record.provenance

    @property
    def name(self) -> str:
        """Returns the network and the dataset, for titles."""
        return f"{self.record.config['network']} on {self.provenance['dataset']}"

    @property
    def class_names(self) -> list[str]:
        """Returns the printable class names in the order of the logits; where several classes share
        a name, each is followed by its id.
        """
        names = [printable(str(name)) for name in self.provenance["class_names"]]
        often = Counter(names)
        ids = [printable(str(class_id)) for class_id in self.provenance["class_ids"]]
        return [n if often[n] == 1 else f"{n} ({i})" for n, i in zip(names, ids, strict=True)]

    def over_seeds(self, field: str) -> Interval | None:
        """Returns the confidence interval of the mean of a record's `field` over the repeats, or
        `None` where fewer than two repeats have the field.
        """
        found = [getattr(record, field) for record in self.repeats]
        return interval_of_repeats([value for value in found if value is not None])

    @property
    def seeds(self) -> list[int]:
        """Returns the seeds of the repeats, in their order."""
        return [int(record.config["seed"]) for record in self.repeats]


def read_final_run(folder: Path) -> FinalRun:
    """Reads the final training in `folder`. Raises `RecordError` where a file is missing or
    damaged, or where the record doesn't name the classes of the predictions.
    """
    record, predictions = read_record(folder / RECORD), read_predictions(folder)
    provenance, classes = record.provenance, predictions.logits.shape[1]
    lists = [provenance.get(key) for key in ("class_names", "class_ids")]
    complete = all(isinstance(names, list) and len(names) == classes for names in lists)
    if not complete or "dataset" not in provenance:
        raise RecordError(
            f"{folder / RECORD} must name the {classes} classes of its predictions, but doesn't; "
            "train again with python -m trainables.final … --overwrite."
        )
    return FinalRun(
        folder=folder,
        record=record,
        predictions=predictions,
        repeats=(record, *read_sibling_records(folder, record)),
    )


def describe_choice(provenance: Mapping[str, Any]) -> str:
    """Returns whole sentences on a model whose configuration was chosen on other images than it is
    trained on, and on what can't be compared then; the text is empty for any other model.
    """
    chosen = provenance.get("chosen_on")
    if not chosen:
        return ""
    searched, here = (
        f"{each['dataset']} (fingerprint {each['dataset_fingerprint'][:16]}"
        + (f", stored at {each['stored_px']} px)" if each["stored_px"] else ")")
        for each in (chosen, provenance)
    )
    return (
        f"The configuration was chosen on {searched}, and the model is trained and tested on other "
        f"images of the same classes, {here}. Its accuracy is that on the test images of the "
        "latter: it can't be compared with the search's val_top1, nor with final trainings on the "
        "former. Whether the search saw any of these test images isn't known. Where it did, the "
        "figures may be too high."
    )


def read_sibling_records(folder: Path, record: FinalRecord) -> Iterator[FinalRecord]:
    """Yields the records of the repeats in the folder that differ from `record` in their seed
    alone.

    Repeats of an earlier configuration, and unfinished or damaged ones, are skipped.
    """
    for path in sorted(folder.glob(f"repeat-*/{RECORD}"), key=_number):
        try:
            other = read_record(path)
        except RecordError:
            continue
        if _but_seed(other) == _but_seed(record) and other.config != record.config:
            yield other


def read_record(path: Path) -> FinalRecord:
    """Returns the record in the `final.json` at `path`. Raises `RecordError` where the file is
    missing or damaged.
    """
    try:
        return FinalRecord.from_json(read_json(path))
    except FileNotFoundError:
        raise RecordError(
            f"{path.parent} holds no finished final training ({path.name} is missing); give the "
            "folder that trainables.final has written, as runs/NAME/final."
        ) from None
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise RecordError(f"{path} is damaged ({error}); restore it from a copy.") from error


def _but_seed(record: FinalRecord) -> tuple[dict[str, Any], object]:
    config = {name: value for name, value in record.config.items() if name != "seed"}
    return config, record.provenance.get("dataset_fingerprint")


def _number(path: Path) -> tuple[int, str]:
    number = path.parent.name.removeprefix("repeat-")
    return (int(number) if number.isdigit() else 0), number
