"""Prepared data, checkpoints and weights, damaged in many ways: refused by name, or the same."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from datasets.access import open_search_data
from datasets.beton.format import HEADER, METADATA_START
from datasets.loading.checks import check_beton, check_rows
from datasets.loading.loader import batches
from datasets.manifest import Manifest, read_manifest, verify
from datasets.spec import DatasetError
from search.session.startup import verify_training_images
from tests.damage.test_damaged_files import FEW, MANY, Format, damage
from tests.search.study_on_curves import metrics
from trainables.models import weights_file
from trainables.models.base import WeightsError
from trainables.training import checkpoint
from trainables.training.checkpoint import CheckpointError


def prepared(data: Path, name: str, folder: Path) -> Path:
    return Path(shutil.copytree(data, folder / "data")) / name


def read_prepared(path: Path) -> Manifest:
    open_search_data(path.parent)
    return read_manifest(path.parent)


def read_beton(path: Path) -> str:
    """As a search does that begins: what FFCV relies on, then every byte."""
    check_rows(path, check_beton(path))
    return verify(path.parent).fingerprint


def make_checkpoint(folder: Path) -> Path:
    path = folder / "0001.pt"
    content = {
        "identity": "x",
        "network": {"w": torch.arange(64.0)},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}},
        "carried": {},
        "history": [asdict(metrics(epoch, 0.5)) for epoch in (1, 2)],
    }
    checkpoint.write(path, content)
    return path


def read_checkpoint(path: Path) -> object:
    history = checkpoint.read_history(path)
    content = checkpoint._read(path)
    return history, content["network"]["w"].tolist(), str(content["optimizer"])


def make_weights(folder: Path) -> Path:
    torch.save({"w": torch.arange(64.0)}, folder / "weights.pt")
    return folder / "weights.pt"


def read_weights(path: Path) -> object:
    weights_file._check_archive_once.cache_clear()  # it tells files apart by time, to the tick
    return {
        name: tensor.tolist() for name, tensor in weights_file.read_weights(path).tensors.items()
    }


FORMATS = {
    "checkpoint": Format(make=make_checkpoint, read=read_checkpoint, errors=(CheckpointError,)),
    "weights": Format(make=make_weights, read=read_weights, errors=(WeightsError,)),
}


def of_data(name: str, data: Path) -> Format:
    read: Any = read_prepared if name == "manifest.json" else read_beton
    return Format(make=lambda f: prepared(data, name, f), read=read, errors=(DatasetError,))


@pytest.mark.parametrize("name", FORMATS)
def test_a_few_damages(name: str, tmp_path: Path) -> None:
    damage(FORMATS[name], FORMATS[name].make(tmp_path), FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_thousand_damages(name: str, tmp_path: Path) -> None:
    damage(FORMATS[name], FORMATS[name].make(tmp_path), MANY)


@pytest.mark.parametrize("name", ["manifest.json", "train.beton"])
def test_a_few_damages_of_data(name: str, tiny_data: Path, tmp_path: Path) -> None:
    each = of_data(name, tiny_data)
    damage(each, each.make(tmp_path), FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manifest.json", "train.beton", "test.beton"])
def test_a_thousand_damages_of_data(name: str, tiny_data: Path, tmp_path: Path) -> None:
    each = of_data(name, tiny_data)
    damage(each, each.make(tmp_path), MANY)


@pytest.mark.parametrize(
    ("place", "what"),
    [
        (4, "the page size"),
        (HEADER.itemsize, "a field's type"),
        (METADATA_START + 1, "the first image's width"),
        (METADATA_START + 5, "where the first image lies"),
        (-8, "the last image's size"),
    ],
)
def test_a_beton_that_points_elsewhere_is_refused_before_it_is_mapped(
    place: int, what: str, tiny_data: Path, tmp_path: Path
) -> None:
    path = prepared(tiny_data, "train.beton", tmp_path)
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)
    split = replace(open_search_data(path.parent).train, beton=path)
    with pytest.raises(DatasetError, match=r"train\.beton is (damaged|half-written|cut short)"):
        next(batches(split, 4, order_seed=None, drop_last=False))


def test_one_flipped_bit_in_the_training_images_is_found_while_ray_starts(
    tiny_data: Path, tmp_path: Path
) -> None:
    path = prepared(tiny_data, "train.beton", tmp_path)
    verify_training_images(path.parent)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"train\.beton must have sha256 .*--overwrite"):
        verify_training_images(path.parent)
