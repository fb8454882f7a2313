"""Errors about final training, about what it reads, and about the models that it leaves."""

import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from common.files import checksum
from datasets.manifest import read_manifest
from results.export import export
from results.records import BEST_VERSION
from results.store import RunStore
from tests.remedies.harness import Command, Refusal, Steps, case
from tests.remedies.images import prepare_folder, write_images
from tests.results.example_run import add_trial
from tests.results.test_export import MANIFEST, TrialState, trial
from tests.trainables.conftest import SMALL
from trainables.final_model import repeats
from trainables.final_model.best_config import read_best
from trainables.models.network import build

BEST = "trainables/final_model/best_config.py"
REPEATS = "trainables/final_model/repeats.py"
TRAINING = "trainables/final_model/training.py"


def make_run(tmp_path: Path) -> Path:
    """Makes a run with one trained trial and its best.yaml, and returns that file."""
    store = RunStore.create(tmp_path / "my run", MANIFEST | {"name": "my run"})
    add_trial(store, trial(0, TrialState.COMPLETE, 0.5))
    store.close()
    return export(tmp_path / "my run")


def export_again(refusal: Refusal) -> None:
    """Runs the command that the sentence prints."""
    refusal.command()()


@case(f"{BEST}::_read_mapping", "but {} is {}: name a best.yaml")
def a_best_yaml_that_is_a_pipe(tmp_path: Path) -> Steps:
    best = make_run(tmp_path)
    best.unlink()
    os.mkfifo(best)
    refusal = yield lambda: read_best(best)
    assert "best.yaml is a named pipe: name" in refusal.text
    best.unlink()
    export_again(refusal)


@case(f"{BEST}::read_best", "is not as it was written")
def a_best_yaml_that_was_edited(tmp_path: Path) -> Steps:
    best = make_run(tmp_path)
    best.write_text(best.read_text(encoding="utf-8").replace("lr: ", "lr: 1"), encoding="utf-8")
    refusal = yield lambda: read_best(best)
    export_again(refusal)


@case(f"{BEST}::read_best", "is not as it was written")
def a_best_yaml_that_was_edited_on_purpose(tmp_path: Path) -> Steps:
    best = make_run(tmp_path)
    best.write_text(best.read_text(encoding="utf-8").replace("lr: ", "lr: 1"), encoding="utf-8")
    refusal = yield lambda: read_best(best)
    lines = refusal.find(r"remove its lines (\w+ and \w+) if").split(" and ")
    remove_lines(best, lines)


def remove_lines(best: Path, names: list[str]) -> None:
    """Removes the lines of these keys."""
    left = [
        line
        for line in best.read_text(encoding="utf-8").splitlines()
        if not line.startswith(tuple(f"{name}:" for name in names))
    ]
    assert len(best.read_text(encoding="utf-8").splitlines()) == len(left) + len(names)
    best.write_text("\n".join(left), encoding="utf-8")


@case(f"{BEST}::read_best", "must have the key")
def a_best_yaml_without_a_dataset(tmp_path: Path) -> Steps:
    best = make_run(tmp_path)
    best.write_text("config: {network: resnet10}\n", encoding="utf-8")
    export_again((yield lambda: read_best(best)))


@case(
    f"{BEST}::read_best", "{}: {}",
    "trainables/config.py::__post_init__", "ConfigError(errors)",
    "trainables/config.py::from_dict", "ConfigError(errors)",
)  # fmt: skip
def a_best_yaml_with_a_wrong_value(tmp_path: Path) -> Steps:
    best = tmp_path / "best.yaml"
    best.write_text("config: {network: resnet10, lr: -1}\ndataset: demo\n", encoding="utf-8")
    refusal = yield lambda: read_best(best)
    assert re.search(r"best.yaml: lr must be > 0, but got lr=-1\.", refusal.text)
    best.write_text("config: {network: resnet10, lr: 1}\ndataset: demo\n", encoding="utf-8")


@case(f"{BEST}::_read_mapping", "is a folder")
def a_run_in_the_place_of_its_best_yaml(tmp_path: Path) -> Steps:
    run = make_run(tmp_path).parent
    refusal = yield lambda: read_best(run)
    refusal.command()()
    name = refusal.find(r"name its (\S+), or")
    return lambda: read_best(run / name)


@case(f"{BEST}::_read_mapping", "must name an existing file")
def a_best_yaml_that_is_gone(tmp_path: Path) -> Steps:
    best = make_run(tmp_path)
    best.unlink()
    export_again((yield lambda: read_best(best)))


@case(f"{BEST}::_read_mapping", "must name an existing file")
def a_best_yaml_outside_of_a_run(tmp_path: Path) -> Steps:
    run = make_run(tmp_path).parent
    refusal = yield lambda: read_best(tmp_path / "best.yaml")
    refusal.command(RUN=run)()
    return lambda: read_best(run / "best.yaml")


@case(f"{BEST}::_read_mapping", "must name a YAML file")
def a_best_yaml_that_is_no_yaml(tmp_path: Path) -> Steps:
    best = make_run(tmp_path)
    best.write_text("config: {", encoding="utf-8")
    export_again((yield lambda: read_best(best)))


@case(f"{BEST}::_read_mapping", "must be a YAML mapping")
def a_best_yaml_that_is_a_list(tmp_path: Path) -> Steps:
    best = make_run(tmp_path)
    best.write_text("[config]", encoding="utf-8")
    export_again((yield lambda: read_best(best)))


def write_best(folder: Path, tiny_data: Path, **changes: Any) -> Path:
    """Writes a best.yaml of a small training and returns its path."""
    folder.mkdir(exist_ok=True)
    best = {"config": SMALL.but(**changes).to_dict(), "dataset": tiny_data.name}
    (folder / "best.yaml").write_text(yaml.safe_dump(best), encoding="utf-8")
    return folder / "best.yaml"


def train(best: Path, tiny_data: Path, *more: object) -> Command:
    """Returns the command that trains a best.yaml to the end."""
    data = ("--data", tiny_data.parent, "--threads", 1)
    return Command("trainables.final", "--config", best, *data, *more)


@case("trainables/final.py::_positive", "must be ≥ 1")
def no_epochs_of_final_training(tmp_path: Path, tiny_data: Path, no_training: None) -> Steps:
    command = train(write_best(tmp_path, tiny_data), tiny_data, "--epochs", 0)
    refusal = yield command
    return command.replace(0, refusal.find(r"--epochs: must be ≥ (\d)"))


@case("trainables/final.py::_duration", "must be a duration such as")
def no_time_for_final_training(tmp_path: Path, tiny_data: Path) -> Steps:
    command = train(write_best(tmp_path, tiny_data), tiny_data, "--time-budget", "1:30")
    refusal = yield command
    return command.replace("1:30", refusal.find(r"or (1h30m), but got '1:30'"))


@case("trainables/final.py::main", "check that path and its disk")
def an_out_that_can_t_be_made(tmp_path: Path, tiny_data: Path, no_training: None) -> Steps:
    out = tmp_path / ("x" * 300)
    command = train(write_best(tmp_path, tiny_data), tiny_data, "--out", out)
    refusal = yield command
    assert f"File name too long: '{out}'" in refusal.text
    return command.replace(out, tmp_path / "x")


@case(f"{REPEATS}::run", "make it writable, or choose another")
def an_out_that_can_t_be_written(tmp_path: Path, tiny_data: Path, no_training: None) -> Steps:
    (tmp_path / "file").write_text("", encoding="utf-8")
    out = tmp_path / "file" / "x"
    command = train(write_best(tmp_path, tiny_data), tiny_data, "--out", out)
    refusal = yield command
    assert f"must be writable, but {tmp_path / 'file'} isn't" in refusal.text
    return command.replace(out, tmp_path / "x")


@case(f"{TRAINING}::train_final_model", "must stay finite")
def a_training_that_diverges(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    monkeypatch.setattr(repeats, "write_pages", lambda _: None)
    best = write_best(tmp_path, tiny_data, lr=1e30)
    values = yaml.safe_load(best.read_text(encoding="utf-8")) | {"schema_version": BEST_VERSION}
    best.write_text(yaml.safe_dump(values | {"sha256": checksum(values)}), encoding="utf-8")
    refusal = yield train(best, tiny_data)
    assert float(refusal.find(r"lower lr \((\S+)\) in the configuration")) == 1e30
    remove_lines(best, refusal.find(r"without its lines (\w+ and \w+),").split(" and "))
    text = re.sub(r"\blr: .*", "lr: 0.001", best.read_text(encoding="utf-8"))
    best.write_text(text, encoding="utf-8")


@case(f"{REPEATS}::_apply_options", "must be float32 on a CPU")
def a_configuration_of_an_older_gpu(tmp_path: Path, tiny_data: Path, no_training: None) -> Steps:
    command = train(write_best(tmp_path, tiny_data, precision="float16"), tiny_data)
    refusal = yield command
    return command.add(*refusal.find(r"add `(.*?)` to the same").split())


@case(f"{REPEATS}::_apply_options", "must name the file of weights too")
def weights_that_only_a_file_from_elsewhere_names(
    tmp_path: Path, tiny_data: Path, no_training: None
) -> Steps:
    weights = tmp_path / "their weights.pt"
    torch.save(build(SMALL, 4).state_dict(), weights)
    command = train(write_best(tmp_path, tiny_data, weights=str(weights)), tiny_data)
    refusal = yield command
    return command.add(*shlex.split(refusal.find(r"add `(.*)` to the same")))


def search_elsewhere(
    tmp_path: Path, tiny_data: Path, ids: list[str] | None = None
) -> tuple[Path, Path]:
    """Writes a best.yaml of a search on `tiny_data`, and prepares other images of its classes
    beside it; returns both paths.

    ids: what the file says of the classes (default: what the images have).
    """
    manifest = read_manifest(tiny_data)
    best = write_best(tmp_path, tiny_data)
    with best.open("a", encoding="utf-8") as file:
        file.write(f"dataset_fingerprint: {manifest.fingerprint}\n")
        named = list(manifest.class_ids) if ids is None else ids
        file.write(f"dataset_class_ids: {named}\n" if named else "")
    words = ("--source", manifest.source, "--data", tmp_path, "--size", 32, "--workers", 1)
    Command("datasets.prepare", tiny_data.name, *words)()
    return best, tmp_path


DATA = "trainables/final_model/training_data.py"
OTHERS = f"{DATA}::_check_other_images"


@case(OTHERS, "must be the one that the search saw")
def final_training_on_other_images(tmp_path: Path, tiny_data: Path, no_training: None) -> Steps:
    best, other = search_elsewhere(tmp_path, tiny_data)
    command = train(best, tiny_data).replace(tiny_data.parent, other)
    refusal = yield command
    assert "pass the search's --data" in refusal.text
    return command.replace(other, tiny_data.parent)


@case(OTHERS, "must be the one that the search saw")
def final_training_on_other_images_of_the_same_classes(
    tmp_path: Path, tiny_data: Path, no_training: None
) -> Steps:
    best, other = search_elsewhere(tmp_path, tiny_data)
    command = train(best, tiny_data).replace(tiny_data.parent, other)
    refusal = yield command
    return command.add(refusal.find(r"of the same classes with (--\S+)\.$"))


@case(OTHERS, "must compare the classes with the search's")
def final_training_on_images_of_unknown_classes(
    tmp_path: Path, tiny_data: Path, no_training: None
) -> Steps:
    best, other = search_elsewhere(tmp_path, tiny_data, ids=[])
    values = yaml.safe_load(best.read_text(encoding="utf-8")) | {"schema_version": BEST_VERSION}
    best.write_text(yaml.safe_dump(values | {"sha256": checksum(values)}), encoding="utf-8")
    command = train(best, tiny_data, "--accept-dataset").replace(tiny_data.parent, other)
    refusal = yield command
    remove_lines(best, refusal.find(r"remove its lines (\w+ and \w+)\.").split(" and "))
    line = refusal.find(r"as a line (\w+),")
    with best.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}: {list(read_manifest(tiny_data).class_ids)}\n")


@case(OTHERS, "must compare the classes with the search's")
def final_training_of_a_best_yaml_that_an_older_version_exported(
    tmp_path: Path, tiny_data: Path, no_training: None
) -> Steps:
    manifest = read_manifest(tiny_data)
    dataset = {"name": tiny_data.name, "fingerprint": manifest.fingerprint}
    dataset |= {"class_ids": list(manifest.class_ids)}
    store = RunStore.create(tmp_path / "my run", MANIFEST | {"dataset": dataset})
    add_trial(store, trial(0, TrialState.COMPLETE, 0.5))
    store.close()
    best, other = search_elsewhere(tmp_path, tiny_data, ids=[])
    best = best.rename(tmp_path / "my run" / "best.yaml")
    command = train(best, tiny_data, "--accept-dataset").replace(tiny_data.parent, other)
    export_again((yield command))


@case(OTHERS, "must be in the dataset, and no others")
def final_training_on_images_of_other_classes(
    tmp_path: Path, tiny_data: Path, no_training: None
) -> Steps:
    best, other = search_elsewhere(tmp_path, tiny_data, ids=["n00000001", "n00000009"])
    command = train(best, tiny_data, "--accept-dataset").replace(tiny_data.parent, other)
    refusal = yield command
    assert f"but {other / tiny_data.name} lacks n00000009 and has n00000002, " in refusal.text
    source = write_images(tmp_path / "src")  # «prepare images of the same classes»
    for split in ("train", "test"):
        (source / split / "cat").rename(source / split / "n00000001")
        (source / split / "dog").rename(source / split / "n00000009")
    return command.add("--dataset", "folder:mine", "--source", source)


@case(f"{REPEATS}::_check_finished", "no finished training on other images")
def a_second_seed_on_other_images(
    tmp_path: Path, tiny_data: Path, trained: Path, no_training: None
) -> Steps:
    best, other = search_elsewhere(tmp_path, tiny_data)
    shutil.copytree(trained, tmp_path / "final")
    command = train(best, tiny_data, "--accept-dataset", "--repeats", 2)
    command = command.replace(tiny_data.parent, other)
    refusal = yield command
    command.add(refusal.find(r"choose another (--out),"), tmp_path / "another")()
    return command.add(refusal.find(r"or pass (--\w+)\."))


@case("datasets/prepare.py::_check_existing", "px, not")
def final_training_on_images_of_another_size(tmp_path: Path, no_training: None) -> Steps:
    """The command that failed isn't the one that the sentence prints, which must be whole."""
    prepare_folder(write_images(tmp_path / "my src"), tmp_path)()
    data = tmp_path / "data" / "folder"
    best = write_best(tmp_path, data)
    with best.open("a", encoding="utf-8") as file:
        file.write("dataset_image_size: 24\n")
    refusal = yield train(best, data)
    assert "…" not in refusal.text
    refusal.command().add("--workers", 1)()


@case(f"{REPEATS}::_plan_repeats", "training of another configuration")
def a_final_training_of_another_configuration(
    tmp_path: Path, tiny_data: Path, trained: Path, no_training: None
) -> Steps:
    shutil.copytree(trained, tmp_path / "final")
    command = train(write_best(tmp_path, tiny_data, lr=0.01), tiny_data)
    refusal = yield command
    return command.add(*refusal.options("--overwrite")[:1])


@case(f"{REPEATS}::_plan_repeats", "must hold no finished training, but")
def a_final_training_that_is_done(
    tmp_path: Path, tiny_data: Path, trained: Path, no_training: None
) -> Steps:
    shutil.copytree(trained, tmp_path / "final")
    command = train(write_best(tmp_path, tiny_data), tiny_data)
    refusal = yield command
    assert "choose another --out, train more seeds with a larger --repeats" in refusal.text
    command.add("--out", tmp_path / "another")()
    return command.add("--repeats", 2)
