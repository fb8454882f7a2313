"""A final training as it lies on disk: its record, what test said, and the repeats beside it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.files import read_json
from results.analysis.intervals import FEWEST_REPEATS, Interval, interval
from results.predictions import Predictions, read_predictions
from results.records import FinalRecord, RecordError

RECORD = "final.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalRun:
    """`record` and `predictions` are those of the folder itself, the published ones. `repeats` has
    the same configuration's with other seeds too, `record` first.
    """

    folder: Path
    record: FinalRecord
    predictions: Predictions
    repeats: tuple[FinalRecord, ...]

    @property
    def told(self) -> dict[str, Any]:
        """The record's provenance."""
        return self.record.provenance

    @property
    def name(self) -> str:
        """Which network on which dataset."""
        return f"{self.record.config['network']} on {self.told['dataset']}"

    @property
    def class_names(self) -> list[str]:
        """In the order of the logits; where several classes have one name, with their ids."""
        names = [str(name) for name in self.told["class_names"]]
        often = Counter(names)
        ids = self.told["class_ids"]
        return [n if often[n] == 1 else f"{n} ({i})" for n, i in zip(names, ids, strict=True)]

    def over_seeds(self, field: str) -> Interval | None:
        """Of a field of the records; `None` with fewer than two that have it."""
        found = [getattr(record, field) for record in self.repeats]
        values = [value for value in found if value is not None]
        return interval(values) if len(values) >= FEWEST_REPEATS else None

    @property
    def seeds(self) -> list[int]:
        """Of the repeats."""
        return [int(record.config["seed"]) for record in self.repeats]


def read_final_run(folder: Path) -> FinalRun:
    """Raises `RecordError` where something is missing or damaged."""
    record, predictions = read_record(folder / RECORD), read_predictions(folder)
    told, classes = record.provenance, predictions.logits.shape[1]
    named = [told.get(key) for key in ("class_names", "class_ids")]
    if any(not isinstance(n, list) or len(n) != classes for n in named) or "dataset" not in told:
        raise RecordError(
            f"{folder / RECORD} must name the {classes} classes of its predictions, but doesn't; "
            "train again with python -m trainables.final --overwrite."
        )
    return FinalRun(
        folder=folder,
        record=record,
        predictions=predictions,
        repeats=(record, *read_sibling_records(folder, record)),
    )


def read_sibling_records(folder: Path, record: FinalRecord) -> Iterator[FinalRecord]:
    """The repeats in the folder that differ from `record` in their seed alone.

    Others are left out: of an earlier configuration, unfinished or damaged.
    """
    for path in sorted(folder.glob(f"repeat-*/{RECORD}"), key=_number):
        try:
            other = read_record(path)
        except RecordError:
            continue
        if _but_seed(other) == _but_seed(record) and other.config != record.config:
            yield other


def read_record(path: Path) -> FinalRecord:
    """A `final.json`. Raises `RecordError`."""
    try:
        return FinalRecord.from_json(read_json(path))
    except FileNotFoundError:
        raise RecordError(
            f"{path.parent} holds no finished final training ({path.name} is missing); give the "
            "folder that trainables.final has written, as runs/NAME/final."
        ) from None
    except (ValueError, AttributeError, RecursionError) as error:
        raise RecordError(f"{path} is damaged ({error}); restore it from a copy.") from error


def _but_seed(record: FinalRecord) -> tuple[dict[str, Any], object]:
    config = {name: value for name, value in record.config.items() if name != "seed"}
    return config, record.provenance.get("dataset_fingerprint")


def _number(path: Path) -> tuple[int, str]:
    number = path.parent.name.removeprefix("repeat-")
    return (int(number) if number.isdigit() else 0), number
