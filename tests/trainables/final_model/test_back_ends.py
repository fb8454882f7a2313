"""Torch and onnxruntime give the same predictions, and onnxruntime does so without torch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from results.predictions import read_predictions
from tests.trainables.test_predict import images
from trainables import export, predict
from trainables.final_model.inference import back_ends
from trainables.final_model.inference.back_ends import open_classifier

__all__ = ["images"]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of final training with its ONNX file. Read it, don't write there."""
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("exported") / "final"))
    assert export.main([str(folder), "--formats", "onnx"]) == 0
    return folder


def probabilities(text: str) -> np.ndarray:
    """Returns what a JSON file tells, float (images, classes), classes in the order of the model's
    own."""
    told = json.loads(text)
    order = told["model"]["class_ids"]
    rows = [
        {each["class_id"]: each["probability"] for each in image["predictions"]}
        for image in told["images"]
    ]
    return np.array([[row[class_id] for class_id in order] for row in rows])


def test_both_give_the_same_classes_and_probabilities(
    exported: Path, images: list[Path], tmp_path: Path
) -> None:
    found = {}
    for name in ("torch", "onnx", "auto"):
        out = tmp_path / f"{name}.json"
        words = ["--json", str(out), "--top", "all", "--backend", name]
        assert predict.main([str(exported), str(images[0].parent), *words]) == 0
        told = out.read_text(encoding="utf-8")
        assert json.loads(told)["model"]["back_end"] == {"auto": "onnx"}.get(name, name)
        found[name] = probabilities(told)
    logits = torch.from_numpy(read_predictions(exported).logits)
    assert np.abs(found["torch"] - logits.softmax(1).numpy()).max() < 1e-5
    assert found["torch"].shape == (24, 4)
    assert np.abs(found["onnx"] - found["torch"]).max() < 1e-4
    assert np.array_equal(found["onnx"].argmax(1), found["torch"].argmax(1))
    assert np.array_equal(found["onnx"], found["auto"])
    assert np.abs(found["onnx"].sum(1) - 1).max() < 1e-6


def test_onnx_loads_no_torch_and_decodes_the_same(exported: Path, images: list[Path]) -> None:
    """In a process of its own, by the ONNX file alone."""
    script = (
        "import sys; from trainables import predict; code = predict.main(sys.argv[1:]);"
        "print(sorted({'torch', 'torchvision', 'ffcv', 'numba', 'onnx', 'scipy', 'rich'}"
        " & set(sys.modules)), code)"
    )
    model = str(exported / "export" / "model.onnx")
    done = subprocess.run(
        [sys.executable, "-c", script, model, str(images[0])],
        cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[] 0"
    assert done.stderr == ""
    logits = torch.from_numpy(read_predictions(exported).logits[0])
    assert done.stdout.splitlines()[1] == (
        f"  {float(logits.softmax(0).max()):6.1%}  class {int(logits.argmax()) + 1}"
    )


def test_auto_leaves_to_torch_what_onnx_gives_otherwise(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert open_classifier(exported, "auto", 1).name == "onnx"
    monkeypatch.setattr(back_ends, "find_spec", lambda _: None)
    assert open_classifier(exported, "auto", 1).name == "torch"
    monkeypatch.undo()
    half = Path(shutil.copytree(exported, tmp_path / "half"))
    record = json.loads((half / "final.json").read_text(encoding="utf-8"))
    record["config"]["precision"] = "bfloat16"
    (half / "final.json").write_text(json.dumps(record), encoding="utf-8")
    assert open_classifier(half, "auto", 1).name == "torch"
    other = Path(shutil.copytree(exported, tmp_path / "other"))
    state = torch.load(other / "model.pt", weights_only=True)
    torch.save({name: tensor * 2 for name, tensor in state.items()}, other / "model.pt")
    capsys.readouterr()
    assert open_classifier(other, "auto", 1).name == "torch"
    assert capsys.readouterr().err == (
        f"note: torch predicts, since {other}/export/model.onnx was exported from other weights; "
        "export it again.\n"
    )
    (other / "export" / "model.onnx").write_bytes(b"damaged")
    assert open_classifier(other, "auto", 1).name == "torch"
    assert "note: torch predicts, since" in capsys.readouterr().err


def test_a_gpu_takes_more_than_a_batch(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from common.nvml import Driver

    monkeypatch.setattr(back_ends, "read_driver", lambda: Driver(cards=(object(),)))
    assert open_classifier(exported, "auto", 128).name == "onnx"
    assert open_classifier(exported, "auto", 129).name == "torch"


def test_the_number_of_images_at_once_changes_nothing(
    exported: Path, images: list[Path], tmp_path: Path
) -> None:
    found = []
    for size in ("1", "7", "24"):
        words = ["--json", str(tmp_path / "x"), "--top", "all", "--batch-size", size]
        words += ["--backend", "torch"]
        assert predict.main([str(exported), *map(str, images), *words]) == 0
        found.append(probabilities((tmp_path / "x").read_text(encoding="utf-8")))
    assert np.abs(np.stack(found[1:]) - found[0]).max() < 1e-5
