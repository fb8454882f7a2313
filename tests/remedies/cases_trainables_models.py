"""Errors about trained models, their export, and images that they classify."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.remedies.cases_search_places import check_extra
from tests.remedies.cases_trainables_final import train
from tests.remedies.harness import Command, Steps, case
from tests.remedies.images import image
from trainables.final_model import exporters

SAVED, EXPORT = "trainables/final_model/saved_model.py", "trainables/final_model/exporters.py"
DESCRIBED = "trainables/final_model/description.py"
READ = "trainables/final_model/inference/image_batches.py::read_image"
DAMAGED = (f"{DESCRIBED}::damage_error", "is damaged or is something else")


def predict(model: Path, tmp_path: Path) -> Command:
    """Returns the command that classifies an image by a model."""
    (tmp_path / "image.jpg").write_bytes(image(0))
    return Command("trainables.predict", model, tmp_path / "image.jpg")


@case(f"{SAVED}::_check_tensors", "damage_error", *DAMAGED)
def a_model_that_is_not_finite(tmp_path: Path, trained: Path) -> Steps:
    model = Path(shutil.copytree(trained, tmp_path / "model"))
    state = torch.load(model / "model.pt", weights_only=True)
    name = next(name for name, tensor in state.items() if tensor.is_floating_point())
    state[name].fill_(float("inf"))
    torch.save(state, model / "model.pt")
    refusal = yield predict(model, tmp_path)
    assert f"(it has NaN or infinite values in {name})" in refusal.text
    shutil.copyfile(trained / "model.pt", model / "model.pt")


@case(f"{SAVED}::read_model", "is neither")
def a_model_that_is_none(tmp_path: Path, trained: Path) -> Steps:
    command = predict(tmp_path / "model.pt", tmp_path)
    refusal = yield command
    return command.replace(
        tmp_path / "model.pt", trained.parent / refusal.find(r"give runs/NAME/(\w+)\.")
    )


@case(f"{DESCRIBED}::read_description", "must tell classes and pixels")
def a_record_of_an_older_version(
    tmp_path: Path, tiny_data: Path, trained: Path, no_training: None
) -> Steps:
    folder = Path(shutil.copytree(trained, tmp_path / "final"))
    shutil.copy(trained.parent / "best.yaml", tmp_path)
    record = json.loads((folder / "final.json").read_text(encoding="utf-8"))
    del record["provenance"]["class_names"]
    (folder / "final.json").write_text(json.dumps(record), encoding="utf-8")
    refusal = yield predict(folder, tmp_path)
    module, option = re.findall(r"train again with python -m (\S+) … (\S+)\.", refusal.text)[0]
    again = train(tmp_path / "best.yaml", tiny_data, option)
    assert again.module == module
    again()


@case(f"{SAVED}::_read_folder", "damage_error(path, error)", *DAMAGED)
def a_damaged_model(tmp_path: Path, trained: Path) -> Steps:
    folder = Path(shutil.copytree(trained, tmp_path / "final"))
    (folder / "model.pt").write_bytes((trained / "model.pt").read_bytes()[:500])
    refusal = yield predict(folder, tmp_path)
    assert "restore it from a copy" in refusal.text
    shutil.copy(trained / "model.pt", folder)


@case(f"{SAVED}::_read_folder", "it holds no state dict", *DAMAGED)
def a_model_of_something_else(tmp_path: Path, trained: Path) -> Steps:
    folder = Path(shutil.copytree(trained, tmp_path / "final"))
    torch.save([1, 2], folder / "model.pt")
    refusal = yield predict(folder, tmp_path)
    assert "restore it from a copy" in refusal.text
    shutil.copy(trained / "model.pt", folder)


def export_to(tmp_path: Path, trained: Path, *formats: str) -> Command:
    """Returns the command that exports the trained model to `tmp_path`/export."""
    words = ("--to", tmp_path / "export", "--formats", *formats)
    return Command("trainables.export", trained, *words)


@case(f"{SAVED}::_read_safetensors", "damage_error(path, error)", *DAMAGED)
def a_damaged_export(tmp_path: Path, trained: Path) -> Steps:
    path = tmp_path / "export" / "model.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    refusal = yield predict(path, tmp_path)
    assert "export it again" in refusal.text
    export_to(tmp_path, trained, "safetensors")()


@case(f"{SAVED}::_read_safetensors", "tells nothing of its classes")
def a_file_of_tensors_alone(tmp_path: Path, trained: Path) -> Steps:
    path = tmp_path / "export" / "model.safetensors"
    path.parent.mkdir()
    save_file({"weight": torch.ones(3)}, path)
    command = predict(path, tmp_path)
    refusal = yield command
    assert "or give the folder of final training" in refusal.text
    export_to(tmp_path, trained, "safetensors")()
    return command


@case(f"{SAVED}::network", "must be those of the network")
def weights_of_another_network(tmp_path: Path, trained: Path) -> Steps:
    folder = Path(shutil.copytree(trained, tmp_path / "final"))
    torch.save({"weight": torch.ones(3)}, folder / "model.pt")
    refusal = yield predict(folder, tmp_path)
    assert "restore both from a copy" in refusal.text
    shutil.copytree(trained, folder, dirs_exist_ok=True)


@case(READ, "can't be read")
def an_image_that_is_gone(tmp_path: Path, trained: Path) -> Steps:
    command = predict(trained, tmp_path).replace(tmp_path / "image.jpg", tmp_path / "imgae.jpg")
    refusal = yield command
    assert "check its path" in refusal.text
    return command.replace(tmp_path / "imgae.jpg", tmp_path / "image.jpg")


@case(READ, "must be an image")
def an_image_that_is_none(tmp_path: Path, trained: Path) -> Steps:
    command = predict(trained, tmp_path).add(tmp_path / "notes.txt")
    (tmp_path / "notes.txt").write_text("notes", encoding="utf-8")
    refusal = yield command
    assert "; leave it out." in refusal.text
    return predict(trained, tmp_path)


@case(f"{EXPORT}::export", "FINAL must be a folder")
def a_final_training_that_is_none(tmp_path: Path, trained: Path) -> Steps:
    command = export_to(tmp_path, tmp_path / "fnal", "safetensors")
    refusal = yield command
    return command.replace(tmp_path / "fnal", trained.parent / refusal.find(r"as runs/NAME/(\w+),"))


def formats_of(refusal: Any) -> tuple[str, ...]:
    """Returns the formats that a sentence advises."""
    return tuple(refusal.find(r"--formats ((?:\w+ ?)+)").split())


def replace_pt2(monkeypatch: pytest.MonkeyPatch, error: float) -> None:
    """Writes files of the format pt2, which take seconds, as safetensors, and leaves out onnx.

    error: what is added to the logits.
    """
    write, run = exporters._FORMATS["safetensors"]

    def write_as(path: Path, *more: Any) -> None:
        write(path.with_suffix(".safetensors"), *more)
        path.with_suffix(".safetensors").rename(path)

    def run_as(path: Path) -> Any:
        exported = run(Path(shutil.copy(path, path.with_suffix(".safetensors"))))
        return lambda pixels: exported(pixels) + error

    monkeypatch.setitem(exporters._FORMATS, "pt2", (write_as, run_as))
    monkeypatch.delitem(exporters._FORMATS, "onnx")


@case(f"{EXPORT}::_check_packages", "ONNX needs the packages")
def an_export_without_its_packages(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    replace_pt2(monkeypatch, error=0)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    refusal = yield export_to(tmp_path, trained, "onnx")
    check_extra(refusal, "onnxscript")
    return export_to(tmp_path, trained, *formats_of(refusal))


@case(f"{EXPORT}::_export_one", "Exported logits must differ by at most")
def an_export_with_other_logits(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    replace_pt2(monkeypatch, error=1)
    refusal = yield export_to(tmp_path, trained, "safetensors", "pt2")
    return export_to(tmp_path, trained, *formats_of(refusal))
