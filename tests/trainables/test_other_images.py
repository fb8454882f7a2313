"""A final training on other images than the search's: refused, or accepted and told everywhere."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.files import checksum
from datasets.access import open_final_data
from datasets.prepare import prepare
from results.final import write_pages
from results.records import BEST_VERSION, EpochMetrics
from tests.conftest import TINY_CLASSES, tiny_image
from tests.trainables.test_final import CONFIG
from trainables import final
from trainables.final_model import training
from trainables.final_model.best_config import read_best
from trainables.training import checkpoint_writer

pytestmark = pytest.mark.usefixtures("narrow_resnets")

TRAIN, TEST = 8, 5
"""Images a class of the other dataset."""


def write_classes(root: Path, classes: tuple[str, ...]) -> Path:
    """Writes images that are none of `tiny_data`'s, by class."""
    for part, numbers in (("train", range(3_000, 3_000 + TRAIN)), ("test", range(4_000, 4_005))):
        for label, name in enumerate(classes):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in numbers:
                (folder / f"{number}.jpg").write_bytes(tiny_image(label, number))
    return root


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with other images of the same classes, and with images of others."""
    root = tmp_path_factory.mktemp("other")
    for name, classes in (("more", TINY_CLASSES), ("else", ("n00000001", "bee", "cat"))):
        prepare(
            f"folder:{name}",
            source=write_classes(root / name, classes),
            data=root / "data",
            size=48 if name == "more" else 64,
            workers=1,
        )
    return root / "data"


@pytest.fixture
def best(tiny_data: Path, tmp_path: Path) -> Path:
    return write_best(tmp_path / "best.yaml", tiny_data)


def write_best(path: Path, tiny_data: Path, **changes: Any) -> Path:
    """Writes a best.yaml as a search on `tiny_data` does."""
    images = open_final_data(tiny_data).images
    values = {
        "schema_version": BEST_VERSION,
        "config": CONFIG.to_dict(),
        "dataset": tiny_data.name,
        "dataset_fingerprint": images.fingerprint,
        "dataset_image_size": images.size,
        "value": 0.5,
        "selected_by": "val_top1",
        "dataset_class_ids": list(images.class_ids),
    }
    values |= changes
    values = {name: value for name, value in values.items() if value is not None}
    path.write_text(yaml.safe_dump(values | {"sha256": checksum(values)}), encoding="utf-8")
    return path


def run(best: Path, data: Path, *more: str) -> int:
    return final.main(["--config", str(best), "--data", str(data), "--threads", "1", *more])


MORE = ("--dataset", "folder:more")
ACCEPTED = (*MORE, "--accept-dataset")


def test_without_the_flag_other_images_are_refused_with_it_as_the_remedy(
    best: Path, other: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(best, other, *MORE) == 2
    (line,) = capsys.readouterr().err.splitlines()
    searched, here = (
        open_final_data(each).images.fingerprint for each in (tiny_data, other / "folder-more")
    )
    assert f"tiny-imagenet with fingerprint {searched}, but {other / 'folder-more'} has" in line
    assert f"has {here}: pass the search's --data or --source" in line
    assert line.endswith("or train on these images of the same classes with --accept-dataset.")
    assert not (best.parent / "final").exists()


def test_accepted_images_are_trained_on_and_told_everywhere(
    best: Path, other: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(best, other, *ACCEPTED) == 0
    out = best.parent / "final"
    record = json.loads((out / "final.json").read_text(encoding="utf-8"))
    assert (record["train_images"], record["test_images"]) == (4 * TRAIN, 4 * TEST)
    searched, here = (open_final_data(each).images for each in (tiny_data, other / "folder-more"))
    known = record["provenance"]
    assert known["dataset"] == "folder:more"
    assert known["dataset_fingerprint"] == here.fingerprint
    assert known["chosen_on"] == {
        "dataset": "tiny-imagenet",
        "dataset_fingerprint": searched.fingerprint,
        "stored_px": 64,
    }
    assert known["selection"]["dataset"] == "tiny-imagenet"
    assert "dataset_class_ids" not in known["selection"]  # class_ids are there already
    assert known["terms"].startswith("The images are the user's own")

    said = (
        f"chosen on tiny-imagenet (fingerprint {searched.fingerprint[:16]}, stored at 64 px), and "
        "the model is trained and tested on other images of the same classes, folder:more "
        f"(fingerprint {here.fingerprint[:16]}, stored at 48 px)"
    )
    compared = "it can't be compared with the search's val_top1"
    printed = capsys.readouterr().out
    notes = [line for line in printed.splitlines() if line.startswith("note: The configuration")]
    assert len(notes) == 1
    page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    for text in (notes[0], page, card.replace("\\", "")):
        assert said in text
        assert compared in text
    plain = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
    assert f"configuration chosen on tiny-imagenet, fingerprint {searched.fingerprint}" in plain
    assert f"trained and tested on folder:more, fingerprint {here.fingerprint}" in plain
    assert "32 images in training (train and val together), 20 in test" in card
    assert "The configuration was chosen on the val of other images; test was opened once" in card


def test_the_search_s_own_images_are_told_as_ever(
    best: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also with the flag, which has nothing to accept then."""
    assert run(best, tiny_data.parent, "--accept-dataset", "--epochs", "1") == 0
    record = json.loads((best.parent / "final" / "final.json").read_text(encoding="utf-8"))
    assert "chosen_on" not in record["provenance"]
    assert "note: " not in capsys.readouterr().out
    card = (best.parent / "final" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "(the search's train and val together)" in card
    assert "The configuration was chosen on val; test" in card
    assert "chosen on tiny" not in card


@pytest.mark.parametrize("flag", [(), ("--accept-dataset",)])
@pytest.mark.parametrize(
    ("ids", "dataset", "said"),
    [
        (
            TINY_CLASSES,
            "folder:else",
            "lacks n00000002, n00000003, n00000004 and has bee, cat besides: ",
        ),
        (TINY_CLASSES[::-1], "folder:more", "has them in another order: "),
        (TINY_CLASSES[:3], "folder:more", "has n00000004 besides: "),
    ],
)
def test_other_classes_are_refused_whatever_the_flag(
    flag: tuple[str, ...],
    ids: tuple[str, ...],
    dataset: str,
    said: str,
    best: Path,
    other: Path,
    tiny_data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_best(best, tiny_data, dataset_class_ids=list(ids))
    assert run(best, other, "--dataset", dataset, *flag) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{other / dataset.replace(':', '-')} {said}" in line
    assert "--accept-dataset" not in line


def test_classes_that_aren_t_known_can_t_be_accepted(
    best: Path, other: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As those of a run of an older version."""
    write_best(best, tiny_data, dataset_class_ids=None)
    assert run(best, other, *MORE) == 2
    assert "--accept-dataset" not in capsys.readouterr().err
    assert run(best, other, *ACCEPTED) == 2
    assert f"but {best} doesn't name these: export it again" in capsys.readouterr().err
    write_best(best, tiny_data, dataset_class_ids=[1, 2])  # no ids
    assert read_best(best).class_ids is None


def interrupt(metrics: EpochMetrics, epochs: int) -> str:
    """Ends a training in its second epoch, after the checkpoint of the first."""
    if metrics.epoch == 2:
        raise KeyboardInterrupt
    return ""


def test_a_training_on_other_images_goes_on_after_an_interruption(
    best: Path,
    other: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(best, other, *ACCEPTED, "--out", str(tmp_path / "whole")) == 0

    monkeypatch.setattr(checkpoint_writer, "SAVE_EVERY_S", 0.0)
    cut = ("--out", str(tmp_path / "cut"))
    with monkeypatch.context() as patch:
        patch.setattr(training, "_epoch_line", interrupt)
        assert run(best, other, *ACCEPTED, *cut) == 130
    assert run(best, other, *MORE, *cut) == 2  # the flag is a part of «the same command»
    capsys.readouterr()
    assert run(best, other, *ACCEPTED, *cut) == 0
    assert "going on after epoch 1 of 3" in capsys.readouterr().out
    whole, again = (
        json.loads((tmp_path / name / "final.json").read_text(encoding="utf-8"))
        for name in ("whole", "cut")
    )
    for key in ("test_loss", "test_top1", "train_top1"):
        assert again[key] == whole[key]
    assert again["provenance"]["chosen_on"] == whole["provenance"]["chosen_on"]


def test_a_checkpoint_of_the_search_s_images_isn_t_gone_on_with_on_others(
    best: Path,
    other: Path,
    tiny_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(checkpoint_writer, "SAVE_EVERY_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(training, "_epoch_line", interrupt)
        assert run(best, tiny_data.parent) == 130
    assert run(best, other, *ACCEPTED) == 2
    assert "must come from the same configuration, dataset" in capsys.readouterr().err


def test_seeds_are_of_the_same_images(
    best: Path, other: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(best, tiny_data.parent, "--epochs", "1") == 0
    two = ("--epochs", "1", "--repeats", "2")
    assert run(best, other, *ACCEPTED, *two) == 2
    said = capsys.readouterr().err
    assert "must hold no finished training on other images, but" in said
    assert not (best.parent / "final" / "repeat-2").exists()
    assert run(best, other, *ACCEPTED, *two, "--overwrite") == 0
    card = (best.parent / "final" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| mean test top-1 over seeds |" in card
    assert run(best, other, *ACCEPTED, "--epochs", "1", "--repeats", "3") == 0
    assert len(list((best.parent / "final").glob("repeat-*/final.json"))) == 2


def test_too_few_images_for_a_batch_are_one_sentence(
    best: Path, other: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The search's were enough, which nobody checks again where the images are the same."""
    write_best(best, tiny_data, config=CONFIG.but(batch_size=40).to_dict())
    assert run(best, other, *ACCEPTED) == 2
    assert "batch_size must be ≤ 32" in capsys.readouterr().err


def test_the_pages_can_be_written_again(best: Path, other: Path) -> None:
    assert run(best, other, *ACCEPTED, "--epochs", "1") == 0
    before = (best.parent / "final" / "MODEL_CARD.md").read_text(encoding="utf-8")
    _, card = write_pages(best.parent / "final")
    assert card.read_text(encoding="utf-8") == before
