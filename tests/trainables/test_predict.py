"""Images through a final model: the pixels and logits of evaluation, and what goes wrong."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from results.predictions import read_predictions
from trainables import export, predict
from trainables.final_model.description import ModelError
from trainables.final_model.inference.classifier import logits_of
from trainables.final_model.inference.image_batches import read_image
from trainables.final_model.saved_model import read_model

CPU = torch.device("cpu")
CLASSES = ["class 1", "class 2", "class 3", "class 4"]


@pytest.fixture(scope="session")
def images(tiny_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files of the test images, in their order."""
    folder = tmp_path_factory.mktemp("images")
    with zipfile.ZipFile(tiny_zip) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".JPEG"))
        for name in names:
            if "/val/" in name:
                (folder / name.rpartition("/")[2]).write_bytes(archive.read(name))
    return sorted(folder.iterdir())


def test_predicting_gives_the_logits_of_the_one_evaluation(
    trained: Path, images: list[Path]
) -> None:
    """Of files decoded here against the prepared images, which final training evaluated."""
    seen, model = read_predictions(trained), read_model(trained)
    assert len(images) == len(seen.labels) == 24
    pixels = np.stack([read_image(path, model.description.stored_px, None) for path in images])
    assert np.array_equal(pixels[seen.examples], seen.pixels)
    network = model.network(CPU)
    logits = logits_of(network, model.description, torch.from_numpy(pixels))
    assert np.array_equal(logits.numpy(), seen.logits)


@pytest.mark.parametrize("exported", [False, True])
def test_it_prints_the_likeliest_classes_with_their_names(
    exported: bool,
    trained: Path,
    images: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = trained
    if exported:
        arguments = ["--formats", "safetensors", "--to", str(tmp_path)]
        assert export.main([str(trained), *arguments]) == 0
        model = tmp_path / "model.safetensors"
    capsys.readouterr()
    assert predict.main([str(model), str(images[0]), str(images[-1])]) == 0
    seen = read_predictions(trained)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(images[0])
    assert lines[5] == str(images[-1])
    for first, position in ((1, 0), (6, -1)):
        logits = torch.from_numpy(seen.logits[position])
        wanted = [
            f"  {float(share):6.1%}  {CLASSES[int(number)]}"
            for share, number in zip(*logits.softmax(0).topk(4), strict=True)
        ]
        assert lines[first : first + 4] == wanted


def test_a_broken_image_is_one_sentence_and_the_others_are_told(
    trained: Path, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.jpg").write_text("no image", encoding="utf-8")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.jpg").write_bytes(images[0].read_bytes()[:900])
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    Image.new("1", (9_000, 9_000)).save(tmp_path / "bomb.png")
    names = ("text.jpg", "empty.png", "cut.jpg", "missing.jpg", "nothing/*.png",
             "pipe.jpg", "device.jpg", "bomb.png")  # fmt: skip
    bad = [tmp_path / name for name in names]
    capsys.readouterr()
    assert predict.main([str(trained), *map(str, bad), str(images[0])]) == 3
    printed = capsys.readouterr()
    *errors, counted = printed.err.splitlines()
    assert counted == f"predicted 1 of {len(bad) + 1} files, {len(bad)} left out"
    errors.insert(4, errors.pop(0))  # patterns are resolved before anything is read
    for line, path in zip(errors, bad, strict=True):
        assert line.startswith(f"error: {path} ")
        assert line.endswith(".")
    assert "the file is empty" in errors[1]
    assert "no such file" in errors[3]
    assert "a named pipe and no file" in errors[5]
    assert "a device and no file" in errors[6]
    assert "it has 9,000 × 9,000 pixels, and the limit is 40,000,000" in errors[7]
    assert printed.out.splitlines()[0] == str(images[0])
    assert len(printed.out.splitlines()) == 5


def test_images_of_any_size_and_mode_are_taken(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (300, 40), 90).save(tmp_path / "gray.png")
    Image.new("RGBA", (7, 9), (1, 2, 3, 4)).save(tmp_path / "clear.png")
    assert (
        predict.main([str(trained), str(tmp_path / "gray.png"), str(tmp_path / "clear.png")]) == 0
    )
    assert len(capsys.readouterr().out.splitlines()) == 10


def test_what_is_no_model_is_one_sentence(
    trained: Path, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = tmp_path / "older"
    shutil.copytree(trained, older)
    record = json.loads((older / "final.json").read_text(encoding="utf-8"))
    del record["provenance"]["class_names"]
    (older / "final.json").write_text(json.dumps(record), encoding="utf-8")
    cut = tmp_path / "cut"
    shutil.copytree(trained, cut)
    (cut / "model.pt").write_bytes((cut / "model.pt").read_bytes()[:5000])
    (tmp_path / "x.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0notjson!")
    said = {
        older: "written by an older version",
        cut: "is damaged or is something else",
        tmp_path: "holds no finished final training",
        tmp_path / "x.safetensors": "is damaged or is something else",
        trained / "model.pt": "must be a folder of final training or a .safetensors file",
        tmp_path / "nothing": "must be a folder of final training or a .safetensors file",
    }
    for path, words in said.items():
        assert predict.main([str(path), str(images[0])]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert words in line


def test_weights_of_another_network_are_refused(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(trained, folder)
    record = json.loads((folder / "final.json").read_text(encoding="utf-8"))
    record["config"]["network"] = "resnet18"
    (folder / "final.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ModelError, match=r"must be those of the network.*resnet18"):
        read_model(folder).network(CPU)


def test_control_characters_in_names_are_printed_as_escapes(
    trained: Path, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "named"))
    record = json.loads((folder / "final.json").read_text(encoding="utf-8"))
    record["provenance"]["class_names"] = ["a\x1b[31mb", "c", "d", "e"]
    (folder / "final.json").write_text(json.dumps(record), encoding="utf-8")
    odd = Path(shutil.copy(images[0], tmp_path / "x\x1b[2J.jpg"))
    assert predict.main([str(folder), str(odd), str(tmp_path / "no\x1b[0m.jpg")]) == 3
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert printed.out.splitlines()[0] == str(tmp_path / "x\\x1b[2J.jpg")
    assert "%  a\\x1b[31mb\n" in printed.out
    assert "no\\x1b[0m.jpg must match a file" in printed.err
