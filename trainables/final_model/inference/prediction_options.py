"""Holds the options of `trainables.predict`, and finds their faults before any work starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.files import find_unwritable
from common.regular_files import irregular_kind
from datasets.sources.layout import shorten_faults
from trainables.final_model.description import Description
from trainables.final_model.inference.image_files import FoundFiles


class PredictionError(UserError):
    """This error says that no prediction can be made or written; its message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionOptions:
    """A `PredictionOptions` holds the options of `trainables.predict`; see its parser for each.

    top: how many classes, or `None` for all.
    csv, json, submission: paths to write to, «-» for standard output; or `None`.
    batch_size: how many images at once, or `None` for the classifier's own number.
    """

    model: Path
    images: Sequence[Path]
    csv: str | None = None
    json: str | None = None
    submission: str | None = None
    top: int | None = 5
    batch_size: int | None = None
    backend: str = "auto"

    def outputs(self) -> dict[str, str]:
        """Returns the path for each option that names one."""
        given = {"--csv": self.csv, "--json": self.json, "--submission": self.submission}
        return {option: path for option, path in given.items() if path is not None}


def find_option_faults(options: PredictionOptions, found: FoundFiles) -> list[str]:
    """Returns a sentence for each output that can't be written as the options ask for."""
    outputs, faults = options.outputs(), list[str]()
    if len({_identify(path) for path in outputs.values()}) < len(outputs):
        faults.append(
            f"{' and '.join(outputs)} must name different files, but two of them write to the "
            "same; name another file for each."
        )
    images = {_identify(str(path)) for path in found.images}
    for option, path in outputs.items():
        if path == "-":
            continue
        place = find_unwritable(Path(path).parent)
        kind = "a folder" if Path(path).is_dir() else irregular_kind(Path(path))
        if _identify(path) in images:
            kind = "one of the images"
        if kind:
            faults.append(
                f"{option} must name a file to write, but {path} is {kind}; name another path, or "
                "- for standard output."
            )
        elif place:
            faults.append(
                f"{option} must name a file in a folder that can be written, but {place} can't be; "
                "name another path."
            )
    return faults + (_find_name_faults(found.images) if options.submission else [])


def _identify(path: str) -> str:
    """Returns the same text for each spelling of a path."""
    return path if path == "-" else str(Path(path).resolve())


def _find_name_faults(paths: Sequence[Path]) -> list[str]:
    """Returns a sentence for names that a line of a submission can't hold, or not once each."""
    seen, faults = dict[str, Path](), list[str]()
    for path in paths:
        if len(path.name.split()) != 1 or not path.name.isprintable():
            faults.append(
                f"--submission needs file names without blanks, but got {path}; rename that file."
            )
        elif (other := seen.setdefault(path.name, path)) != path:
            faults.append(
                f"--submission needs each file name once, but {other} and {path} have the same; "
                "leave one out."
            )
    return shorten_faults(faults)


def find_blank_class(description: Description) -> str | None:
    """Returns a sentence for an id of a class that a line of a submission can't hold."""
    for class_id in description.class_ids:
        if len(class_id.split()) != 1 or not class_id.isprintable():
            return (
                f"--submission needs ids of classes without blanks, but one is {class_id!r}; "
                "use --csv."
            )
    return None
