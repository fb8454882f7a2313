"""Sentences that were once untrue: what they spoke of doesn't happen any more."""

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.access import open_final_data
from datasets.prepare import prepare
from tests.remedies.cases_trainables_final import train, write_best
from tests.remedies.images import write_images
from trainables import final
from trainables.final_model import repeats


@pytest.mark.parametrize("normalise", ["dataset", "imagenet"])
def test_images_of_one_colour_train_at_the_usual_lr(
    normalise: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two channels are constant. Divided by 0, they made every training diverge, with the advice to
    lower lr.
    """
    source = write_images(tmp_path / "src", each=20)
    for path in source.rglob("*.jpg"):
        pixels = np.asarray(Image.open(path)) * np.array([0, 1, 0], dtype=np.uint8)
        path.unlink()
        Image.fromarray(pixels).save(path.with_suffix(".png"))
    assert prepare("folder", source=source, data=tmp_path, workers=1).std[0] == 0
    monkeypatch.setattr(repeats, "write_pages", lambda _: None)
    best = write_best(tmp_path / "run", tmp_path / "folder", normalise=normalise, lr=1e-3)
    train(best, tmp_path / "folder")()
    assert open_final_data(tmp_path / "folder").images.std[0] == 1


def test_a_closed_pipe_is_no_fault_of_the_disk_and_training_goes_on(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(repeats, "write_pages", lambda _: None)
    best = write_best(tmp_path, tiny_data, epochs=2)
    raw = io.FileIO(writer, "wb", closefd=False)
    closed = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    words = ("--config", best, "--data", tiny_data.parent, "--threads", 1)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", closed)
        patch.setattr(sys, "__stdout__", closed)
        code = final.main([*map(str, words)])
    assert code == 0
    assert (tmp_path / "final" / "model.pt").exists()
    os.close(writer)
