"""A search on a user's own images, from one command and with nothing prepared."""

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from datasets.census.image_sizes import summarise_sides
from datasets.manifest import read_manifest
from datasets.prepare import main as prepare_main
from datasets.prepare import prepare
from search.config.command_line import resolve
from search.monitoring.plans.plan_text import describe_enlarged, describe_few_val_images, show_plan
from search.planning.plan import Plan, make_plan, size_to_store
from search.run import main
from tests.conftest import tiny_image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 classes × (12 train + 2 val) JPEGs of 80 px in class folders."""
    root = tmp_path_factory.mktemp("pictures")
    for part, numbers in (("train", range(12)), ("val", range(20, 22))):
        for label, name in enumerate(("cat", "dog")):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in numbers:
                (folder / f"{number}.jpg").write_bytes(tiny_image(label, number, size=80))
    return root


def plan_of(tmp_path: Path, pictures: Path, **values: object) -> Plan:
    given = {"space": "demo", "dataset": "folder", "source": str(pictures)}
    paths = {"data": str(tmp_path / "data"), "out": str(tmp_path / "runs")}
    options, errors = resolve(given | paths | values)
    plan, more = make_plan(options, resuming=False)
    assert plan is not None, errors + more
    return plan


def test_own_images_are_stored_as_large_as_the_largest_input(
    tmp_path: Path, pictures: Path
) -> None:
    assert size_to_store(plan_of(tmp_path, pictures)) == 64
    assert size_to_store(plan_of(tmp_path, pictures, set=["image_size=96"])) == 96
    widest = plan_of(tmp_path, pictures, space="resnet50", weights="none")
    assert size_to_store(widest) == 128  # of 64, 96 and 128
    assert size_to_store(plan_of(tmp_path, pictures, space="resnet18")) == 224
    assert size_to_store(plan_of(tmp_path, pictures, dataset="tiny-imagenet")) is None


def test_what_is_prepared_stays_and_is_said_to_be_enlarged(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare("folder", source=pictures, data=tmp_path / "data", size=48, workers=1)
    plan = plan_of(tmp_path, pictures)
    assert size_to_store(plan) is None
    manifest = read_manifest(tmp_path / "data" / "folder")
    note = describe_enlarged(plan, manifest)
    assert note.startswith("images are stored at 48 px and enlarged to up to 64: ")
    show_plan(plan, 22, None, None, ())
    assert note[:60] in capsys.readouterr().out
    command = shlex.split(note.split("`")[1])
    assert command[:3] == ["python", "-m", "datasets.prepare"]
    assert prepare_main(command[3:]) == 0
    prepared = read_manifest(tmp_path / "data" / "folder")
    assert (prepared.image_size, describe_enlarged(plan, prepared)) == (64, "")
    tiny = plan_of(tmp_path, pictures, dataset="tiny-imagenet")
    assert describe_enlarged(tiny, manifest) == ""


def test_nothing_is_said_to_be_lost_where_the_images_were_no_larger(
    tmp_path: Path, pictures: Path
) -> None:
    manifest = prepare("folder", source=pictures, data=tmp_path / "data", size=80, workers=1)
    wide = plan_of(tmp_path, pictures, set=["image_size=96"])
    assert describe_enlarged(wide, manifest) == ""
    larger = summarise_sides([80, 81, 81])
    assert "to keep more detail" in describe_enlarged(
        wide, replace(manifest, original_sizes=larger)
    )
    # A manifest of an older version has no sizes.
    assert describe_enlarged(wide, replace(manifest, original_sizes=None))


def test_few_val_images_are_told_with_how_much_accuracies_on_them_scatter(tiny_data: Path) -> None:
    manifest = read_manifest(tiny_data)
    few = replace(manifest, val=tuple(range(120)))
    assert describe_few_val_images(few) == (
        "on 120 val images, an accuracy of 70 % has a standard error of 4.2 points; "
        "`datasets.prepare --val` holds out more for another search"
    )
    assert describe_few_val_images(replace(few, val_fraction=0.25)).endswith("of 4.2 points")
    assert describe_few_val_images(replace(few, val=tuple(range(300)))) == ""


def test_a_dry_run_states_the_size_to_store(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_plan(plan_of(tmp_path, pictures, set=["image_size=96"]), 22, None, None, ())
    assert "folder (to be prepared first, at 96 px)" in capsys.readouterr().out


@pytest.mark.parametrize("space", ["demo", "resnet18"])
def test_a_batch_that_own_images_can_t_fill_is_refused_before_they_are_prepared(
    space: str, tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    command = ["--space", space, "--dataset", "folder", "--source", str(pictures)]
    command += ["--data", str(data), "--out", str(tmp_path / "runs"), "--weights", "none"]
    assert main([*command, "--set", "image_size=72", "batch_size=99"]) == 2
    assert "batch_size must be ≤ the 22 training images" in capsys.readouterr().err
    assert not (data / "folder" / "manifest.json").exists()
    assert main([*command, "--dry-run", "--set", "image_size=72", "batch_size=22"]) == 0
    assert "folder (to be prepared first, at 72 px)" in capsys.readouterr().out


SPACE_OF_OWN = """
from dataclasses import replace
from search.spaces import find_space
SPACE = replace(find_space("demo"), dataset="folder:pets")
"""


def test_a_space_may_name_one_of_several_datasets_of_one_s_own(
    tmp_path: Path, pictures: Path
) -> None:
    (tmp_path / "pets.py").write_text(SPACE_OF_OWN, encoding="utf-8")
    plan = plan_of(tmp_path, pictures, space=str(tmp_path / "pets.py"), dataset="")
    assert (plan.dataset, plan.data) == ("folder:pets", tmp_path / "data" / "folder-pets")
    assert size_to_store(plan) == 64
    prepare("folder:pets", source=pictures, data=tmp_path / "data", size=48, workers=1)
    assert size_to_store(plan) is None
    words = shlex.split(describe_enlarged(plan, read_manifest(plan.data)).split("`")[1])
    assert words[3] == "folder:pets"


def test_a_dataset_that_isn_t_prepared_or_can_t_be_called_so_is_refused(
    tmp_path: Path, pictures: Path
) -> None:
    prepare("folder:pets", source=pictures, data=tmp_path / "data", size=48, workers=1)

    def errors_of(dataset: str) -> list[str]:
        values = {"space": "demo", "dataset": dataset, "data": str(tmp_path / "data")}
        options, errors = resolve(values | {"out": str(tmp_path / "runs")})
        return errors + make_plan(options, resuming=False)[1]

    assert errors_of("folder:pets") == []
    (unprepared,) = errors_of("folder:pet")
    assert "images of dataset folder:pet, an archive or a folder, but it is missing" in unprepared
    assert f"`python -m datasets.list --data {tmp_path / 'data'}` shows" in unprepared
    (misnamed,) = errors_of("folder:Pets")
    assert misnamed.startswith("--dataset: The NAME in folder:NAME must have")
    assert misnamed.endswith("use `folder:pets`.")


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["folder", "folder:pets"])
def test_one_command_searches_own_images_and_trains_the_best(
    dataset: str, tmp_path: Path, pictures: Path
) -> None:
    where = ["--data", str(tmp_path / "data")]
    search = ["search.run", "--space", "resnet18", "--dataset", dataset]
    search += ["--source", str(pictures), "--weights", "none"]
    search += ["--out", str(tmp_path), "--name", "own", "--trials", "2", "--epochs", "1"]
    search += ["--precision", "float32", "--set", "batch_size=8", "image_size=64"]
    best = tmp_path / "own" / "best.yaml"
    for command in (search, ["trainables.final", "--config", str(best)]):
        arguments = [sys.executable, "-m", *command, *where]
        done = subprocess.run(
            arguments, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert yaml.safe_load(best.read_text(encoding="utf-8"))["dataset"] == dataset
    assert (tmp_path / "own" / "final" / "final.json").exists()
