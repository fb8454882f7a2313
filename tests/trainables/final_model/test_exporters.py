"""Exported models: each is read back and tried, and none is left that gives other logits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from results.predictions import read_predictions
from tests.trainables.conftest import SMALL
from trainables import export, final
from trainables.final_model import exporters
from trainables.final_model.description import Description
from trainables.final_model.saved_model import read_model

NAMES = ("class 1", "class 2", "class 3", "class 4")


def test_safetensors_carry_weights_classes_and_pixels(trained: Path, tmp_path: Path) -> None:
    ((path, difference),) = exporters.export(trained, tmp_path, ["safetensors"])
    assert difference < 1e-6
    assert [each.name for each in tmp_path.iterdir()] == ["model.safetensors"]
    with safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["model"])
    assert tuple(told["class_names"]) == NAMES
    assert (told["stored_px"], told["config"]) == (64, SMALL.to_dict())
    original, read = read_model(trained), read_model(path)
    assert read.description == original.description
    assert read.state.keys() == original.state.keys()
    assert all(torch.equal(t, original.state[n]) for n, t in read.state.items())


def test_one_that_differs_is_refused_and_nothing_is_left(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither a good file beside it, nor a change of what was there before."""
    write, _ = exporters._FORMATS["safetensors"]

    def slightly_off(path: Path, program: exporters.Program, description: Description) -> None:
        with torch.no_grad():
            program.network.head.get_parameter("fc.bias").add_(0.01)
        write(path.with_suffix(".safetensors"), program, description)
        path.with_suffix(".safetensors").rename(path)

    def run(path: Path) -> exporters.Run:
        path.rename(path.with_suffix(".safetensors"))
        found = exporters._run_safetensors(path.with_suffix(".safetensors"))
        path.with_suffix(".safetensors").rename(path)
        return found

    monkeypatch.setitem(exporters._FORMATS, "pt2", (slightly_off, run))
    to = tmp_path / "made"
    arguments = [str(trained), "--to", str(to), "--formats"]
    capsys.readouterr()
    assert export.main([*arguments, "safetensors", "pt2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "must differ by at most 0.0001 of the largest" in line
    assert "model.pt2" in line
    assert not to.exists()
    to.mkdir()
    (to / "model.pt2").write_text("older", encoding="utf-8")
    assert export.main([*arguments, "pt2"]) == 2
    assert [(each.name, each.read_text(encoding="utf-8")) for each in to.iterdir()] == [
        ("model.pt2", "older")
    ]


def test_missing_packages_are_named_with_the_command(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(exporters, "_is_importable", lambda name: name == "onnx")
    assert export.main([str(trained), "--to", str(tmp_path / "x")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "onnxscript and onnxruntime can't be imported: pip install '.[export]'" in line
    assert not (tmp_path / "x").exists()


def test_what_is_no_final_training_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        assert export.main([str(folder), "--formats", "safetensors"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert str(folder) in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"network": "mini_alexnet", "image_size": 64},
        {"network": "wide_concat", "image_size": 64, "precision": "bfloat16"},
        {"network": "timm:convnext_atto", "normalise": "imagenet"},
        {"network": "efficientnet_lite0", "image_size": 96, "normalise": "half", "head_width": 32},
    ],
    ids=lambda changes: changes.get("network", "resnet10"),
)
def test_all_formats_give_the_same_logits(
    changes: dict[str, Any], tiny_data: Path, tmp_path: Path
) -> None:
    """Read here once more, as their users would: by torch alone, and by ONNX's runtime."""
    config = SMALL.but(**changes)
    best = tmp_path / "best.yaml"
    best.write_text(f"config: {config.to_dict()}\ndataset: {tiny_data.name}\n", encoding="utf-8")
    data = ["--data", str(tiny_data.parent), "--threads", "1"]
    assert final.main(["--config", str(best), *data]) == 0
    folder = tmp_path / "final"
    assert export.main([str(folder)]) == 0
    out = folder / "export"
    assert sorted(p.name for p in out.iterdir()) == [f"model.{n}" for n in
                                                     ("onnx", "pt2", "safetensors")]  # fmt: skip

    seen = read_predictions(folder)
    wanted = seen.logits[seen.examples]
    # Programs compute in float32 what was tested in bfloat16, whose numbers have 8 bits.
    tolerance = (1e-4 if config.precision == "float32" else 3e-2) * np.abs(wanted).max()
    auxiliary = {"model.json": ""}
    program = torch.export.load(out / "model.pt2", extra_files=auxiliary).module()
    assert json.loads(auxiliary["model.json"])["class_names"] == list(NAMES)
    import onnxruntime

    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    for count in (len(wanted), 1):
        pixels = seen.pixels[:count]
        with torch.inference_mode():
            by_torch = program(torch.from_numpy(pixels)).numpy()
        (by_onnx,) = session.run(None, {"images": pixels})
        assert np.abs(by_torch - wanted[:count]).max() <= tolerance
        assert np.abs(by_onnx - wanted[:count]).max() <= tolerance
