"""A model of 12-bit images: prediction and export use the scale of the prepared dataset."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.prepare import prepare
from results.predictions import read_predictions
from tests.trainables.conftest import SMALL
from trainables import export, final, predict
from trainables.final_model.description import Description, ModelError
from trainables.final_model.inference.classifier import logits_of
from trainables.final_model.inference.image_batches import read_image
from trainables.final_model.inference.image_files import ImageError
from trainables.final_model.saved_model import read_model


@pytest.fixture(scope="session")
def twelve_bits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 classes × (20 train + 4 test) gray 16-bit PNGs of 32 px with values up to 4,095."""
    root = tmp_path_factory.mktemp("twelve-bits")
    for label, name in enumerate(("cat", "dog")):
        for part, count in (("train", 20), ("test", 4)):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                draw = np.random.default_rng([label, number, count])
                values = draw.integers(0, 3000, (32, 32)).astype(np.uint16)
                values[0, 0], values[1, label] = 4095, 0
                Image.fromarray(values).save(root / part / name / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def model(twelve_bits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a final training on these images. Read it, don't write there."""
    folder = tmp_path_factory.mktemp("model")
    prepare("folder", source=twelve_bits, data=folder, size=32, workers=1)
    best = f"config: {SMALL.to_dict()}\ndataset: folder\n"
    (folder / "best.yaml").write_text(best, encoding="utf-8")
    where = ["--data", str(folder), "--threads", "1"]
    assert final.main(["--config", str(folder / "best.yaml"), *where]) == 0
    return folder / "final"


def test_a_predicted_file_has_the_pixels_and_logits_of_the_evaluation(
    twelve_bits: Path, model: Path
) -> None:
    seen, read = read_predictions(model), read_model(model)
    assert read.description.white == 4095
    files = [twelve_bits / "test" / name / f"{n}.png" for name in ("cat", "dog") for n in range(4)]
    pixels = np.stack([read_image(path, 32, read.description.white) for path in files])
    assert pixels.max() == 255
    assert np.array_equal(pixels[..., 0], np.stack([np.asarray(Image.open(f)) for f in files]) >> 4)
    assert np.array_equal(pixels[seen.examples], seen.pixels)
    logits = logits_of(read.network(torch.device("cpu")), read.description, torch.tensor(pixels))
    assert np.array_equal(logits.numpy(), seen.logits)


def test_the_command_reads_16_bits_as_the_8_bits_that_they_become(
    twelve_bits: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twelve = twelve_bits / "test" / "dog" / "2.png"
    eight = tmp_path / "eight.png"
    Image.fromarray((np.asarray(Image.open(twelve)) >> 4).astype(np.uint8)).save(eight)
    assert export.main([str(model), "--formats", "safetensors", "--to", str(tmp_path)]) == 0
    exported = tmp_path / "model.safetensors"
    assert read_model(exported).description.white == 4095
    for each in (model, exported):
        capsys.readouterr()
        assert predict.main([str(each), str(twelve), str(eight)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[1:3] == lines[4:6]


def test_card_and_record_name_the_scale(model: Path) -> None:
    record = json.loads((model / "final.json").read_text(encoding="utf-8"))
    assert record["provenance"]["white"] == 4095
    card = (model / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| value that is white in 16-bit and float images | 4095 |" in card


def test_models_of_older_records_read_16_bits_as_before_and_refuse_floats(
    model: Path, twelve_bits: Path, tmp_path: Path
) -> None:
    older = Path(shutil.copytree(model, tmp_path / "older"))
    record = json.loads((older / "final.json").read_text(encoding="utf-8"))
    del record["provenance"]["white"]
    (older / "final.json").write_text(json.dumps(record), encoding="utf-8")
    description = read_model(older).description
    assert description.white is None
    twelve = twelve_bits / "test" / "dog" / "2.png"
    assert read_image(twelve, 32, None).max() == 4095 >> 8
    Image.new("F", (32, 32), 0.5).save(tmp_path / "float.tif")
    with pytest.raises(ImageError, match="must be an image, but pixels of mode F have no known"):
        read_image(tmp_path / "float.tif", 32, None)
    assert read_image(tmp_path / "float.tif", 32, 1).max() == 128
    values = json.loads(description.to_json())
    del values["white"]
    assert Description.from_json(json.dumps(values)) == description


def test_an_uncustomary_scale_is_a_damaged_record(model: Path, tmp_path: Path) -> None:
    odd = Path(shutil.copytree(model, tmp_path / "odd"))
    record = json.loads((odd / "final.json").read_text(encoding="utf-8"))
    record["provenance"]["white"] = 4000
    (odd / "final.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ModelError, match="no customary range of values ends at 4000"):
        read_model(odd)
