"""What would stop a search before its first trial is found by a dry run in the same words."""

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from datasets.prepare import inspect, prepare
from results.store import RunStore, read_manifest
from search.hardware.probe import TorchProcess
from search.run import main
from search.session.checks import check_start, inspect_images, list_later_checks, prepare_images
from tests.search.session_on_curves import opened, planned, search

Fault = Callable[[Path], tuple[list[str], str]]

pytestmark = pytest.mark.usefixtures("one_torch_process", "plan_quickly")


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    """A copy of the prepared dataset, in a folder of its own."""
    return shutil.copytree(tiny_data, tmp_path / "data" / "tiny-imagenet")


@pytest.fixture
def begun(data: Path, tmp_path: Path) -> Path:
    """A run that has trained four epochs, and its sitting is over."""
    search(planned(tmp_path / "runs", data, {}, name="old", trials=4), epochs=4)
    return tmp_path / "runs" / "old"


def test_a_run_that_goes_on_prepares_its_own_share_of_val(tiny_zip: Path, tmp_path: Path) -> None:
    """On a disk that has lost the prepared images."""
    data = tmp_path / "data" / "tiny-imagenet"
    prepare("tiny-imagenet", source=tiny_zip, data=data.parent, val=0.25)
    plan = planned(tmp_path / "runs", data, {}, name="run", trials=2)
    opened(plan).close()
    saved = read_manifest(plan.directory)
    assert saved["dataset"]["chosen_val"] == 0.25
    shutil.rmtree(data)
    plan = replace(plan, options=replace(plan.options, source=str(tiny_zip)))
    assert inspect_images(plan, saved) == 60
    assert prepare_images(plan, saved).images.fingerprint == saved["dataset"]["fingerprint"]


def words(data: Path, *more: str) -> list[str]:
    return ["--space", "demo", "--dataset", "tiny-imagenet", "--data", str(data.parent),
            "--out", str(data.parents[1] / "runs"), "--set", "batch_size=16", *more]  # fmt: skip


def resumed(run: Path, *more: str) -> list[str]:
    return ["--resume", "old", "--out", str(run.parent), *more]


def refusals(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The sentences of a refused command."""
    capsys.readouterr()
    assert main(arguments) == 2
    return capsys.readouterr().err.splitlines()


def of_both(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The sentences with which a dry run and the run are refused, which must be the same."""
    dry = refusals([*arguments, "--dry-run"], capsys)
    assert refusals(arguments, capsys) == dry
    return dry


def test_a_batch_of_more_images_than_there_are(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sentence,) = of_both([*words(data)[:-1], "batch_size=73"], capsys)
    assert "batch_size must be ≤ the 72 training images, but got 73" in sentence
    assert main([*words(data)[:-1], "batch_size=72", "--dry-run"]) == 0


def test_a_batch_is_compared_with_a_source_that_is_yet_to_be_prepared(
    tiny_zip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--space", "demo", "--dataset", "tiny-imagenet", "--source", str(tiny_zip),
             "--data", str(tmp_path), "--out", str(tmp_path / "runs"), "--set"]  # fmt: skip
    (sentence,) = of_both([*asked, "batch_size=73"], capsys)
    assert "batch_size must be ≤ the 72 training images, but got 73" in sentence
    assert main([*asked, "batch_size=72", "--dry-run"]) == 0
    assert "epochs of 72 images" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_cant_be_prepared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images" / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "cat" / "a.png")
    asked = ["--space", "demo", "--dataset", "folder", "--source", str(tmp_path / "images"),
             "--data", str(tmp_path / "data"), "--out", str(tmp_path / "runs")]  # fmt: skip
    (sentence,) = of_both(asked, capsys)
    assert "train" in sentence


def test_a_disk_without_space_for_the_images(
    tiny_zip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Both files of 104 images at 64 px take 13 MB, because they grow by whole pages."""
    usage = shutil.disk_usage(tmp_path)
    small = usage._replace(free=5_000_000)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: small if Path(path).is_relative_to(tmp_path) else usage
    )
    asked = ["--space", "demo", "--dataset", "tiny-imagenet", "--source", str(tiny_zip), "--set",
             "batch_size=16", "--data", str(tmp_path / "new"), "--out", str(tmp_path)]  # fmt: skip
    (sentence,) = of_both(asked, capsys)
    assert (
        f"{tmp_path / 'new' / 'tiny-imagenet'} needs 13 MB of free disk space, but has 5 MB"
        in sentence
    )
    assert list(tmp_path.iterdir()) == []


def test_a_class_with_too_few_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part, count in (("train", 1), ("test", 1)):
        for label in ("cat", "dog"):
            (tmp_path / "images" / part / label).mkdir(parents=True)
            for number in range(count + (label == "dog")):
                path = tmp_path / "images" / part / label / f"{number}.png"
                Image.new("RGB", (8, 8), (number, len(part), 9)).save(path)
    asked = ["--space", "demo", "--dataset", "folder", "--source", str(tmp_path / "images"),
             "--data", str(tmp_path / "data"), "--out", str(tmp_path / "runs")]  # fmt: skip
    (sentence,) = of_both(asked, capsys)
    assert "Every class needs at least 2 good images in train" in sentence
    assert "cat has 1" in sentence


@pytest.mark.parametrize("content", [b"not a state dict", None])
def test_weights_that_cant_be_read(
    content: bytes | None, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    weights = data.parent / "weights.pt"
    if content is None:  # a network's of another kind
        torch.save({"first.weight": torch.zeros(3)}, weights)
    else:
        weights.write_bytes(content)
    asked = ["--space", "resnet50", *words(data)[2:], "--weights", str(weights)]
    (sentence,) = of_both(asked, capsys)
    assert str(weights) in sentence


def test_a_network_that_no_library_has(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [*words(data), "network=timm:convnext_atom", "stem=imagenet"]
    (sentence,) = of_both(asked, capsys)
    assert "did you mean timm:convnext_atto" in sentence


@contextmanager
def used_port() -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield str(taken.getsockname()[1])


def test_all_faults_come_at_once(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = data.parent / "weights.pt"
    weights.write_bytes(b"none")
    with used_port() as port:
        asked = ["--space", "resnet50", *words(data)[2:-1], "batch_size=100",
                 "--weights", str(weights), "--dashboard-port", port]  # fmt: skip
        sentences = of_both(asked, capsys)
    assert [
        any(words in sentence for sentence in sentences)
        for words in (f"{port} is in use", str(weights), "≤ the 72 training images")
    ] == [True] * 3
    assert len(sentences) == 3


def test_a_run_that_another_process_writes(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RunStore(begun)
    (sentence,) = of_both(resumed(begun), capsys)
    assert "is being written by another process" in sentence
    store.close()
    assert main([*resumed(begun), "--dry-run"]) == 0


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("epochs.jsonl", "epochs.jsonl"),
        ("trials.jsonl", "trials.jsonl"),
    ],
)
def test_damaged_records(
    name: str, sentence: str, begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray((begun / name).read_bytes())
    content[len(content) // 3] ^= 1
    (begun / name).write_bytes(content)
    before = {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()}
    (found,) = refusals([*resumed(begun), "--dry-run"], capsys)
    assert sentence in found
    assert {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()} == before
    assert refusals(resumed(begun), capsys) == [found]


def test_other_images_than_the_run_began_with(
    begun: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, manifest = RunStore(begun), read_manifest(begun)
    manifest["dataset"]["fingerprint"] = "other"
    store.write_manifest(manifest)
    store.close()
    (sentence,) = of_both(resumed(begun), capsys)
    assert "must go on with the dataset it began with" in sentence


def test_images_of_which_a_bit_has_flipped(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run itself finds this while Ray starts."""
    content = bytearray((data / "train.beton").read_bytes())
    content[len(content) // 2] ^= 1
    (data / "train.beton").write_bytes(content)
    (sentence,) = refusals([*words(data), "--dry-run"], capsys)
    assert "train.beton must have sha256" in sentence


def test_places_without_these_images(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (sentence,) = of_both([*words(data), "--data-uri", str(tmp_path / "elsewhere")], capsys)
    assert str(tmp_path / "elsewhere") in sentence


def test_the_cost_of_a_run_that_goes_on_is_by_its_own_epochs(
    begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its epochs took 1.5 s each, whatever a measurement says; two trials run at once."""
    assert main([*resumed(begun), "--dry-run"]) == 0
    out = capsys.readouterr().out
    epochs = float(out.split("cost     about ")[1].split()[0])
    (line,) = (line for line in out.splitlines() if line.startswith("cost"))
    _, duration = line.removesuffix(" (by the epochs trained so far)").split(" images, ")
    concurrent = int(out.split("at once  ")[1].split()[0])
    assert float(duration.split()[0]) == pytest.approx(epochs * 1.5 / concurrent, abs=1)


def test_a_dry_run_writes_nothing_and_names_what_it_left_to_the_search(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(data.parents[1].rglob("*"))
    assert main([*words(data), "--dry-run"]) == 0
    assert "later    checked when the search begins: Ray's start\n" in capsys.readouterr().out
    asked = ["--space", "efficientnet_lite0", *words(data)[2:-2], "--dry-run"]
    assert main(asked) == 0  # a package brings its weights
    assert "when the search begins: Ray's start\n" in capsys.readouterr().out
    assert sorted(data.parents[1].rglob("*")) == before


def test_what_only_the_start_can_check_is_named(tiny_data: Path, tmp_path: Path) -> None:
    changes = {"mlflow": "sqlite:///a.db", "storage": str(tmp_path / "stored")}
    plan = planned(tmp_path, tiny_data, changes, name="new", trials=4)
    assert list_later_checks(plan, prepared=False, weights_here=False) == (
        "Ray's start",
        "the ImageNet weights, which are downloaded then",
        "each image, because the dataset is prepared then",
        "the places of --data-uri and --storage",
        "the connection to MLflow",
    )


def test_pretrained_weights_that_arent_here_are_not_fetched(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    changes = {"space": "resnet18", "set": ["batch_size=16"]}
    plan = planned(tmp_path / "runs", tiny_data, changes, name="new", trials=4)
    with ExitStack() as stack:
        torch = stack.enter_context(TorchProcess())
        found = check_start(plan, None, torch, stack, fetch=False)
    assert "the ImageNet weights, which are downloaded then" in found.later
    assert found.images == 72
    assert not (tmp_path / "torch").exists()


def test_images_are_counted_before_they_are_prepared(tiny_zip: Path, tmp_path: Path) -> None:
    assert inspect("tiny-imagenet", source=tiny_zip, data=tmp_path) == 72
    assert inspect("tiny-imagenet", data=tmp_path) == 90_000
    assert inspect("demo", data=tmp_path) == 1080 == (60 - 6) * 20
    assert inspect("folder", data=tmp_path) is None
    assert inspect("tiny-imagenet", source=tiny_zip, data=tmp_path, val=0.25) == 60
    assert inspect("demo", data=tmp_path, val=0.25) == 900 == (60 - 15) * 20
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_measures_if_asked_and_the_next_one_shows_that(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*words(data), "image_size=32", "--precision", "float32", "--dry-run"]
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert "(a rule of thumb, not measured: --dry-run --measure measures it)" in out
    assert "speed " not in out
    assert main([*asked, "--measure"]) == 0
    measured = capsys.readouterr().out
    kept = json.loads((data.parents[1] / "runs" / ".calibrations.json").read_text("utf-8"))
    ((_, found),) = kept["measurements"].items()
    rate = found["images_per_s"]["float32"]
    assert f"speed    images/s a trial: float32 {rate:.0f}; trains in float32\n" in measured
    assert "(measured on this machine)\n" in measured
    assert main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith(("speed", "cost"))] == [
        line for line in measured.splitlines() if line.startswith(("speed", "cost"))
    ]
