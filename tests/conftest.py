"""Small real data for every room: a zip in Tiny ImageNet's layout, and the same prepared."""

import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.prepare import prepare

# Beside other processes of tests, before anything imports torch: its threads would wait for each
# other's turns.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests start some hundred processes. Without compiled files in __pycache__, each of them, and each
# process of tests, would compile all modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Runs that tests write, also by commands that they start, are signed with a key of the tests, which
# goes with the process.
_USER = tempfile.TemporaryDirectory(prefix="user-of-tests-")
os.environ["XDG_DATA_HOME"] = _USER.name

LONGEST = (
    "search/test_search.py",
    "remedies/test_remedies.py",
    "trainables/test_train.py",
    "common/test_dead_outputs.py",
    "trainables/test_paused_final.py",
    "search/simulation/test_beats_random_search.py",
    "search/planning/test_same_space.py",
    "search/session/test_checks.py",
    "trainables/test_final.py",
    "search/planning/test_continuation.py",
)
"""The files whose tests take longest, in the order in which they begin."""

TINY_CLASSES = ("n00000001", "n00000002", "n00000003", "n00000004")
TINY_TRAIN_PER_CLASS = 20
TINY_TEST_PER_CLASS = 6


def tiny_image(label: int, number: int, size: int = 64) -> bytes:
    """A JPEG that a network can tell apart by class: a tinted, noisy image of one brightness."""
    generator = np.random.default_rng([label, number])
    tint = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [160, 160, 40]])[label % 4]
    pixels = tint + generator.normal(0, 40, size=(size, size, 3))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def tiny_files() -> dict[str, bytes]:
    """Path -> content, in the official layout."""
    files = {
        "wnids.txt": "\n".join(TINY_CLASSES).encode(),
        "words.txt": "\n".join(f"{c}\tclass {c[-1]}, synonym" for c in TINY_CLASSES).encode(),
    }
    annotations = []
    for label, class_id in enumerate(TINY_CLASSES):
        for number in range(TINY_TRAIN_PER_CLASS):
            path = f"train/{class_id}/images/{class_id}_{number}.JPEG"
            files[path] = tiny_image(label, number)
        for number in range(TINY_TEST_PER_CLASS):
            name = f"val_{label}_{number}.JPEG"
            files[f"val/images/{name}"] = tiny_image(label, 1000 + number)
            annotations.append(f"{name}\t{class_id}\t0\t0\t63\t63")
    files["val/val_annotations.txt"] = "\n".join(annotations).encode()
    return files


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first: a process that begins one of them last would end long after
    the others.
    """
    rank = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(scope="session", autouse=True)
def silence_children() -> Iterator[None]:
    """Commands that tests start don't warn of encodings: other packages' warnings would fill their
    stderr, which tests read.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONWARNDEFAULTENCODING", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def leave_files_unsynced() -> Iterator[None]:
    """Files that tests write don't wait for the disk: a killed process loses none of them, and a
    power failure is what no test survives.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch uses one thread: more of them on shared cores wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drawn dataset has 3 training and 2 test images of each of its 20 classes."""
    from datasets.sources import demo

    monkeypatch.setattr(demo, "TRAIN_PER_CLASS", 3)
    monkeypatch.setattr(demo, "TEST_PER_CLASS", 2)


@pytest.fixture(scope="module")
def narrow_resnets() -> Iterator[None]:
    """ResNets that are built in this process have an eighth of their channels: what is tested isn't
    their width, and a step takes a fifth of the time.
    """
    from tests.trainables.narrow_resnet import NarrowResNet
    from trainables.models import resnet

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resnet, "ResNet", NarrowResNet)
        yield


@pytest.fixture(scope="module")
def plan_quickly() -> Iterator[None]:
    """Plans draw a tenth of the configurations, and what is installed is read once."""
    from search import preflight
    from search.planning import fixed_fields, same_space

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(same_space, "PROBES", 40)
        patch.setattr(fixed_fields, "PROBES", 40)
        patch.setattr(preflight, "_dependency_errors", cache(preflight._dependency_errors))
        yield


@pytest.fixture(scope="module")
def one_torch_process() -> Iterator[None]:
    """All commands of a file's tests ask one process that has torch, because each takes seconds to
    start. It doesn't see what a test puts into the environment.
    """
    from search.hardware.probe import TorchProcess
    from search.session import dry_run, execute

    with TorchProcess("") as process, pytest.MonkeyPatch.context() as patch:
        for module in (dry_run, execute):
            patch.setattr(module, "torch_process", lambda plan: nullcontext(process))
        yield


@pytest.fixture(scope="session")
def tiny_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 classes × (20 train + 6 test) JPEGs of 64 px, zipped under one outer folder."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in tiny_files().items():
            archive.writestr(f"tiny-imagenet-200/{name}", content)
    return path


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same files as in `tiny_zip`, as a folder. Read it, don't write there."""
    root = tmp_path_factory.mktemp("tiny-folder")
    for name, content in tiny_files().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.fixture(scope="session")
def tiny_data(tiny_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared directory: 72 train + 8 val + 24 test images. Read it, don't write there."""
    data = tmp_path_factory.mktemp("data")
    prepare("tiny-imagenet", source=tiny_zip, data=data, workers=1)
    return data / "tiny-imagenet"
