"""Errors about names, options and data that are prepared already."""

from pathlib import Path

from tests.remedies.harness import Command, Steps, case
from tests.remedies.images import write_images

PREPARE = "datasets.prepare"


@case("datasets/registry.py::find_dataset", "is no dataset")
def misspelt_dataset(tmp_path: Path) -> Steps:
    write_images(tmp_path / "src")
    command = Command(PREPARE, "foldr", "--source", tmp_path / "src", "--data", tmp_path / "data")
    refusal = yield command
    return command.replace("foldr", refusal.find(r"did you mean (\w+)\?"))


@case("datasets/prepare.py::_check_options", "workers must be")
def no_workers(tmp_path: Path) -> Steps:
    write_images(tmp_path / "src")
    command = Command(
        PREPARE, "folder", "--source", tmp_path / "src", "--data", tmp_path / "data", "--workers", 0
    )
    refusal = yield command
    return command.replace("0", refusal.find(r"must be ≥ (\d+)"))
