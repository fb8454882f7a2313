"""Fixtures of other folders' tests that cases use, and one that spares them training."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from results.analysis.final_run import read_record
from results.final import CARD, PAGE
from tests.datasets.sources.test_download import server
from tests.remedies.searches import searched
from tests.trainables.conftest import one_thread, trained
from trainables.final_model import repeats

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
