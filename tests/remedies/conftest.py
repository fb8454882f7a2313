"""Fixtures of other folders' tests that cases use, and one that spares them training."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from results.analysis.final_run import read_record
from results.final import CARD, PAGE
from tests.datasets.sources.test_download import server
from tests.remedies.harness import Command
from tests.remedies.images import image
from tests.remedies.searches import searched
from tests.trainables.conftest import one_thread, trained
from tests.trainables.final_model.small_onnx import write_small_onnx
from trainables.final_model import exporters, repeats
from trainables.final_model.saved_model import read_model

__all__ = ["one_thread", "searched", "server", "trained"]


@pytest.fixture(scope="module", autouse=True)
def plan_quickly(plan_quickly: None) -> None:
    """Every case gets the fixture of this name."""


@pytest.fixture
def no_training(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Final training checks everything, and copies a trained model instead of training one."""

    def copy(_: object, __: object, out: Path, *___: object) -> Any:
        shutil.copytree(trained, out, dirs_exist_ok=True)
        return read_record(out / "final.json")

    monkeypatch.setattr(repeats, "train_final_model", copy)
    monkeypatch.setattr(repeats, "write_pages", make_empty_pages)


def make_empty_pages(folder: Path) -> None:
    """Stands for `results.final.write_pages`, which takes seconds."""
    for name in (PAGE, CARD):
        (folder / name).touch()


@pytest.fixture
def predict(trained: Path, tmp_path: Path) -> Command:
    """The command that classifies an image, `photos/0.jpg`."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "0.jpg").write_bytes(image(0))
    return Command("trainables.predict", trained, tmp_path / "photos" / "0.jpg")


@pytest.fixture
def small_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporting to ONNX takes no time, and its file isn't tried."""

    def run_as(path: Path) -> Any:
        program = exporters._program(read_model(path.parents[2]))
        return exporters._no_grad(program)

    monkeypatch.setitem(exporters._FORMATS, "onnx", (write_small_onnx, run_as))


@pytest.fixture
def copied(trained: Path, tmp_path: Path, small_export: None) -> Path:
    """A copy of the folder of final training that may be changed."""
    return Path(shutil.copytree(trained, tmp_path / "final"))
