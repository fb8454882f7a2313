"""Final training from the command line: what it writes, refuses and goes on from."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from datasets.access import open_final_data
from datasets.manifest import read_manifest
from datasets.prepare import prepare
from results.records import EpochMetrics, FinalRecord
from trainables import final
from trainables.config import TrialConfig
from trainables.final_model import repeats, training
from trainables.final_model.best_config import read_best
from trainables.models.network import build
from trainables.training import checkpoint_writer, frozen_views
from trainables.training.evaluate import evaluate

pytestmark = pytest.mark.usefixtures("narrow_resnets")

CONFIG = TrialConfig(
    network="resnet10", image_size=32, batch_size=16, epochs=3, lr=2e-3, precision="float32"
)


@pytest.fixture
def best(tiny_data: Path, tmp_path: Path) -> Path:
    """A best.yaml as a search exports it, in a folder of its own."""
    return write_best(tmp_path / "best.yaml", tiny_data)


def write_best(path: Path, tiny_data: Path, **changes: Any) -> Path:
    values = {
        "schema_version": 1,
        "config": CONFIG.to_dict(),
        "dataset": tiny_data.name,
        "dataset_fingerprint": open_final_data(tiny_data).images.fingerprint,
        "metric": "val_top1",
        "value": 0.5,
        "epoch": 2,
        "provenance": {"run": "r"},
        "from_a_later_version": [1],
    }
    path.write_text(yaml.safe_dump(values | changes), encoding="utf-8")
    return path


def run(best: Path, tiny_data: Path, *more: str) -> int:
    arguments = ["--config", str(best), "--data", str(tiny_data.parent), "--threads", "1", *more]
    return final.main(arguments)


def test_it_trains_tests_once_and_writes_everything(
    best: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(best, tiny_data) == 0
    out = best.parent / "final"
    assert sorted(p.name for p in out.iterdir()) == [
        "MODEL_CARD.md", "final.json", "history.jsonl", "model.pt", "predictions.npz",
        "report.html",
    ]  # fmt: skip
    record = FinalRecord(**json.loads((out / "final.json").read_text(encoding="utf-8")))
    lines = (out / "history.jsonl").read_text(encoding="utf-8").splitlines()
    history = [EpochMetrics.from_json(json.loads(line)) for line in lines]
    assert [epoch.epoch for epoch in history] == [1, 2, 3]
    assert (record.train_images, record.test_images) == (80, 24)
    assert record.train_top1 == history[-1].train_top1
    assert record.provenance["selection"]["from_a_later_version"] == [1]
    assert record.wall_s >= sum(epoch.wall_s for epoch in history)

    network = build(CONFIG, num_classes=4)
    network.load_state_dict(torch.load(out / "model.pt", weights_only=True))
    data = open_final_data(tiny_data)
    again = evaluate(network, data.test, data.images, CONFIG, torch.device("cpu"))
    assert again.top1 == record.test_top1 > 0.5
    assert again.loss == pytest.approx(record.test_loss, rel=1e-4)
    printed = capsys.readouterr().out
    assert f"test top-1 {record.test_top1:.2%}" in printed
    assert printed.count("epoch ") == 3


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9, "class_weighting": 1.0}])
def test_an_interrupted_training_goes_on_to_the_same_numbers(
    changes: dict[str, Any],
    best: Path,
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_best(best, tiny_data, config=CONFIG.but(**changes).to_dict())
    assert run(best, tiny_data, "--out", str(tmp_path / "whole")) == 0

    def interrupt(metrics: EpochMetrics, epochs: int) -> str:
        if metrics.epoch == 2:
            raise KeyboardInterrupt
        return ""

    monkeypatch.setattr(checkpoint_writer, "SAVE_EVERY_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(training, "_epoch_line", interrupt)
        assert run(best, tiny_data, "--out", str(tmp_path / "cut")) == 130
    assert [p.name for p in (tmp_path / "cut").iterdir()] == ["checkpoint.pt"]
    assert run(best, tiny_data, "--out", str(tmp_path / "cut")) == 0

    whole, cut = (
        [
            json.loads(line)
            for line in (tmp_path / d / "history.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        for d in ("whole", "cut")
    )
    assert [e["train_loss"] for e in cut] == [e["train_loss"] for e in whole]
    models = [torch.load(tmp_path / d / "model.pt", weights_only=True) for d in ("whole", "cut")]
    assert all(torch.equal(tensor, models[1][name]) for name, tensor in models[0].items())

    network = build(CONFIG, num_classes=4)  # the saved weights are those that were tested
    network.load_state_dict(models[0])
    data = open_final_data(tiny_data)
    again = evaluate(network, data.test, data.images, CONFIG, torch.device("cpu"))
    record = json.loads((tmp_path / "whole" / "final.json").read_text(encoding="utf-8"))
    assert again.loss == pytest.approx(record["test_loss"], rel=1e-4)


def test_images_are_prepared_as_those_that_the_search_stored(
    best: Path, tiny_zip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On another machine, from the source alone: at 48 px instead of the dataset's own 64, with
    half of train as val.
    """
    searched = prepare("tiny-imagenet", source=tiny_zip, data=tmp_path / "there", size=48, val=0.5)
    there = tmp_path / "there" / "tiny-imagenet"
    write_best(best, there, dataset_image_size=48, dataset_val=0.5)
    here = tmp_path / "here" / "tiny-imagenet"
    assert run(best, here, "--source", str(tiny_zip), "--epochs", "1") == 0
    assert read_manifest(here).image_size == 48
    assert read_manifest(here).fingerprint == searched.fingerprint
    write_best(best, here, dataset_image_size=56, dataset_fingerprint=None)
    assert run(best, here, "--overwrite") == 2
    assert "have 48 px, not 56" in capsys.readouterr().err


def test_outputs_of_frozen_stages_that_take_long_are_told(
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of all 80 training images, then of the sample of eight that train_top1 comes from."""
    data = shutil.copytree(tiny_data, tmp_path / tiny_data.name)
    config = CONFIG.but(freeze_depth=5, views=1, epochs=1)
    best = write_best(tmp_path / "best.yaml", data, config=config.to_dict())
    monkeypatch.setattr(frozen_views, "AT_ONCE", 40)
    monkeypatch.setattr(checkpoint_writer, "TELL_FIRST_S", 0.0)
    monkeypatch.setattr(checkpoint_writer, "TELL_EVERY_S", 0.0)
    assert run(best, data) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "outputs of frozen" in line]
    assert told == [
        "epoch 1 has outputs of frozen stages for 50% of 80 images",
        "epoch 1 has outputs of frozen stages for 100% of 80 images",
        "epoch 1 has outputs of frozen stages for 100% of 8 images",
    ]


@pytest.mark.parametrize("epochs", [2, 3, 4])
def test_more_epochs_than_the_search_compared_are_told(
    epochs: int, best: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(best, tiny_data, "--epochs", str(epochs)) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert len(notes) == (epochs > CONFIG.epochs)
    assert all("in trainings of 3 epochs; in 4" in note for note in notes)


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_class_weights_without_val_are_told(
    strength: float, best: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_best(best, tiny_data, config=CONFIG.but(class_weighting=strength).to_dict())
    assert run(best, tiny_data, "--epochs", "1") == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert len(notes) == (strength > 0)
    assert all("class_weighting follows the recall of training images" in note for note in notes)


def test_a_finished_training_is_only_replaced_when_told(
    best: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(best, tiny_data, "--epochs", "1") == 0
    model = best.parent / "final" / "model.pt"
    before = model.read_bytes()
    assert run(best, tiny_data, "--epochs", "1") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(best, tiny_data, "--epochs", "1", "--seed", "5", "--overwrite") == 0
    assert model.read_bytes() != before
    record = json.loads((model.parent / "final.json").read_text(encoding="utf-8"))
    assert record["config"]["seed"] == 5
    assert record["config"]["epochs"] == 1


def test_repeats_train_other_seeds_and_keep_what_is_finished(
    best: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(best, tiny_data, "--epochs", "1", "--seed", "4") == 0
    out = best.parent / "final"
    first = (out / "model.pt").read_bytes()
    assert run(best, tiny_data, "--epochs", "1", "--seed", "4", "--repeats", "2") == 0
    assert (out / "model.pt").read_bytes() == first
    seeds = [
        json.loads((folder / "final.json").read_text(encoding="utf-8"))["config"]["seed"]
        for folder in (out, out / "repeat-2")
    ]
    assert seeds == [4, 5]
    assert (out / "repeat-2" / "model.pt").read_bytes() != first
    assert (out / "repeat-2" / "predictions.npz").exists()
    assert "| mean test top-1 over seeds |" in (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    capsys.readouterr()
    for more, said in ((("--seed", "4"), "larger --repeats"), ((), "of another configuration")):
        assert run(best, tiny_data, "--epochs", "1", "--repeats", "2", *more) == 2
        assert said in capsys.readouterr().err


def test_a_diverged_training_says_so_and_leaves_nothing(
    best: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = CONFIG.but(optimizer="sgd", lr=1e18).to_dict()
    write_best(best, tiny_data, config=config)
    assert run(best, tiny_data) == 2
    assert "diverged" in capsys.readouterr().err
    assert not (best.parent / "final").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset_fingerprint": "0" * 64}, "must be the one that the search saw"),
        ({"config": CONFIG.to_dict() | {"lr": -1, "dropout": 3}}, "lr must be > 0"),
        (
            {"config": CONFIG.to_dict() | {"precision": "auto"}},
            "precision must be bfloat16, float16 or",
        ),
        ({"config": CONFIG.to_dict() | {"batch_size": 81}}, "batch_size must be ≤ 80"),
        ({"config": None}, "must have the key config"),
        ({"dataset": 3}, "must have the key dataset"),
        ({"dataset": "tiny-imagnet"}, "tiny-imagenet"),
    ],
)
def test_bad_input_is_one_sentence(
    changes: dict[str, Any],
    message: str,
    best: Path,
    tiny_data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_best(best, tiny_data, **changes)
    assert run(best, tiny_data) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert all(line.startswith("error: ") for line in printed.err.splitlines())
    assert not (best.parent / "final").exists()


@pytest.mark.parametrize("content", [None, "- 1\n", "a: [", "\xff\x00"])
def test_a_file_that_is_no_best_yaml(
    content: str | None, tmp_path: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "best.yaml"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    assert run(path, tiny_data) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert str(path) in line


def test_a_foreign_checkpoint_is_refused(
    best: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = best.parent / "final"
    assert run(best, tiny_data, "--epochs", "1") == 0
    (out / "final.json").unlink()
    (out / "model.pt").rename(out / "checkpoint.pt")
    assert run(best, tiny_data) == 2
    assert "is damaged or is something else" in capsys.readouterr().err


def test_what_computes_is_as_the_configuration_says_or_as_asked(
    best: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "computes", lambda precision, device: precision != "float16")
    chosen = read_best(best)

    def apply(*more: str) -> TrialConfig:
        given = final.parser().parse_args(["--config", str(best), *more])
        return repeats._apply_options(chosen, repeats.FinalTrainingOptions(**vars(given)))

    assert apply() == chosen.config
    assert apply("--deterministic") == chosen.config.but(deterministic=True)
    assert apply("--precision", "bfloat16") == chosen.config.but(precision="bfloat16")
