"""Errors about what `trainables.predict` reads, writes and computes by."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.remedies.cases_search_places import check_extra
from tests.remedies.harness import Command, Steps, case
from tests.remedies.images import image

ROOM = "trainables/final_model/inference"
BACK_ENDS, ONNX = f"{ROOM}/back_ends.py", f"{ROOM}/onnx_classifier.py::__init__"
FILES, OPTIONS = f"{ROOM}/image_files.py", f"{ROOM}/prediction_options.py"
RUN = f"{ROOM}/prediction.py::run"
DAMAGED = ("trainables/final_model/description.py::damage_error", "is damaged or is something else")


def export(final: Path) -> Path:
    """Exports to ONNX and returns the file."""
    Command("trainables.export", final, "--formats", "onnx")()
    return final / "export" / "model.onnx"


@case(f"{BACK_ENDS}::open_classifier", "but {} is ONNX")
def a_back_end_of_other_files(predict: Command, trained: Path, copied: Path) -> Steps:
    command = predict.replace(trained, export(copied)).add("--backend", "torch")
    refusal = yield command
    assert "leave --backend out" in refusal.text
    command.replace(export(copied), copied)()
    return command.without("--backend")


@case(f"{BACK_ENDS}::_open_exported", "but {} has none")
def a_back_end_without_its_file(predict: Command, trained: Path, copied: Path) -> Steps:
    refusal = yield predict.replace(trained, copied).add("--backend", "onnx")
    refusal.command()()


@case(f"{BACK_ENDS}::_open_exported", "exported from others")
def an_export_of_other_weights(predict: Command, trained: Path, copied: Path) -> Steps:
    export(copied)
    state = torch.load(copied / "model.pt", weights_only=True)
    torch.save({name: tensor * 2 for name, tensor in state.items()}, copied / "model.pt")
    refusal = yield predict.replace(trained, copied).add("--backend", "onnx")
    refusal.command()()


@case(ONNX, "needs the package onnxruntime")
def an_onnx_file_without_its_package(
    predict: Command, trained: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    path = export(copied)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    refusal = yield predict.replace(trained, path)
    check_extra(refusal, "onnxruntime")
    return predict.replace(trained, copied).add(*refusal.options("--backend"))


@case(ONNX, "damage_error(path, error)", *DAMAGED)
def a_damaged_onnx_file(predict: Command, trained: Path, copied: Path) -> Steps:
    path = export(copied)
    path.write_bytes(path.read_bytes()[:100])
    refusal = yield predict.replace(trained, path)
    assert "export it again" in refusal.text
    export(copied)


@case(f"{ROOM}/classification.py::_overflow_error", "must give finite numbers")
def a_network_that_overflows(
    predict: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    from trainables.final_model.inference.classifier import TorchClassifier

    right = TorchClassifier.logits
    with monkeypatch.context() as patch:
        patch.setattr(TorchClassifier, "logits", lambda *given: right(*given) * float("nan"))
        refusal = yield predict
    assert "--precision float32" in refusal.text


@case(f"{FILES}::_expand", "must match a file")
def a_pattern_that_nothing_matches(predict: Command, tmp_path: Path) -> Steps:
    command = predict.add(tmp_path / "phtos" / "*.jpg")
    refusal = yield command
    assert "check its path" in refusal.text
    return command.replace(tmp_path / "phtos" / "*.jpg", tmp_path / "photos" / "*.jpg")


@case(f"{FILES}::_walk", "check your right to read it")
def a_folder_that_cannot_be_read(
    predict: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    closed, scan = tmp_path / "photos" / "closed", os.scandir
    closed.mkdir()

    def refuse_one(folder: Path) -> Any:
        if folder == closed:
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse_one)
        yield predict.add(tmp_path / "photos")


@case(f"{FILES}::_walk", "is in no format that is read")
def a_folder_with_more_than_images(predict: Command, tmp_path: Path) -> Steps:
    notes = tmp_path / "photos" / "notes.txt"
    notes.write_text("notes", encoding="utf-8")
    refusal = yield predict.add(tmp_path / "photos")
    assert f"{notes} must be an image" in refusal.text
    notes.unlink()


@case(f"{FILES}::_walk", "must hold images")
def a_folder_without_images(predict: Command, tmp_path: Path) -> Steps:
    (tmp_path / "empty").mkdir()
    command = predict.add(tmp_path / "empty")
    yield command
    return command.replace(tmp_path / "empty", tmp_path / "photos")


@case(f"{ROOM}/prediction.py::_check_any", "must be readable")
def images_none_of_which_is_readable(predict: Command, tmp_path: Path) -> Steps:
    (tmp_path / "cut.jpg").write_bytes(image(0)[:500])
    command = predict.replace(tmp_path / "photos" / "0.jpg", tmp_path / "cut.jpg")
    refusal = yield command
    assert "none of 1 is" in refusal.text
    return predict


@case(RUN, "PredictionError(faults)", f"{OPTIONS}::find_option_faults", "must name different files")
def two_outputs_to_one_file(predict: Command, tmp_path: Path) -> Steps:
    command = predict.add("--csv", tmp_path / "out", "--json", f"{tmp_path}/./out")
    yield command
    return command.replace(f"{tmp_path}/./out", tmp_path / "out.json")


@case(f"{OPTIONS}::find_option_faults", "must name a file to write")
def an_output_that_is_a_folder(predict: Command, tmp_path: Path) -> Steps:
    command = predict.add("--csv", tmp_path)
    yield command
    return command.replace(tmp_path, "-")


@case(f"{OPTIONS}::find_option_faults", "in a folder that can be written")
def an_output_below_a_file(predict: Command, tmp_path: Path) -> Steps:
    path = tmp_path / "photos" / "0.jpg" / "out.csv"
    command = predict.add("--csv", path)
    yield command
    return command.replace(path, tmp_path / "out.csv")


@case(f"{OPTIONS}::_find_name_faults", "names without blanks")
def a_name_that_no_submission_holds(predict: Command, tmp_path: Path) -> Steps:
    (tmp_path / "photos" / "a b.jpg").write_bytes(image(0))
    yield predict.add(tmp_path / "photos", "--submission", "-")
    (tmp_path / "photos" / "a b.jpg").rename(tmp_path / "photos" / "ab.jpg")


@case(f"{OPTIONS}::_find_name_faults", "each file name once")
def a_name_that_two_images_have(predict: Command, tmp_path: Path) -> Steps:
    (tmp_path / "0.jpg").write_bytes(image(0))
    command = predict.add(tmp_path / "0.jpg").add("--submission", "-")
    yield command
    return predict.add("--submission", "-")


@case(RUN, "PredictionError(fault)", f"{OPTIONS}::find_blank_class", "ids of classes without")
def a_class_that_no_submission_names(predict: Command, trained: Path, copied: Path) -> Steps:
    record = json.loads((copied / "final.json").read_text(encoding="utf-8"))
    record["provenance"]["class_ids"][1] = "two words"
    (copied / "final.json").write_text(json.dumps(record), encoding="utf-8")
    command = predict.replace(trained, copied)
    refusal = yield command.add("--submission", "-")
    assert "use --csv" in refusal.text
    return command.add("--csv", "-")


@case("trainables/predict.py::_positive", "must be ≥ 1")
def no_image_at_once(predict: Command) -> Steps:
    yield predict.add("--batch-size", 0)
    return predict.add("--batch-size", 1)


@case("trainables/predict.py::_top", "must be all or a number")
def no_class_at_all(predict: Command) -> Steps:
    yield predict.add("--top", "none")
    return predict.add("--top", "all")


@case("trainables/predict.py::main", "check that path and its disk")
def a_disk_that_fills(predict: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    command = predict.add("--csv", tmp_path / "out.csv")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        yield command
    assert not (tmp_path / "out.csv").exists()
    return command
