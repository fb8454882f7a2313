"""CIFAR-100: every pixel and label arrives; pickles run nothing; foreign archives are named."""

import hashlib
import io
import os
import pickle
import pickletools
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets import registry
from datasets.access import open_final_data, open_search_data
from datasets.archives.tree import fingerprint, open_tree
from datasets.loading.loader import batches
from datasets.prepare import main, prepare
from datasets.sources import cifar100
from datasets.sources.cifar_pickle import load
from datasets.spec import Archive, DatasetError
from datasets.splits import Split
from tests.datasets.sources.cifar_archive import (
    TOP,
    cifar_files,
    make_cifar100_archive,
    python2_pickle,
    write_archive,
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 classes × (10 train + 2 test) images."""
    return make_cifar100_archive(tmp_path_factory.mktemp("cifar") / "small.tar.gz", 4, 10)


def read(split: Split) -> tuple[np.ndarray, np.ndarray]:
    parts = list(batches(split, 16, order_seed=None, drop_last=False))
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_pixel_and_label_arrives(archive: Path, tmp_path: Path, workers: int) -> None:
    manifest = prepare("cifar100", source=archive, data=tmp_path, workers=workers)
    files = cifar_files(4, 10)
    final = open_final_data(tmp_path / "cifar100")
    for part, split in (("train", final.train), ("test", final.test)):
        images, labels = read(split)
        planes = files[part]["data"].reshape(-1, 3, 32, 32)
        assert np.array_equal(images, planes.transpose(0, 2, 3, 1))
        assert labels.tolist() == files[part]["fine_labels"]
    assert (manifest.image_size, manifest.train_images, manifest.val_images) == (32, 36, 4)
    assert (manifest.train_per_class, manifest.test_per_class) == ((10,) * 4, (2,) * 4)
    val = open_search_data(tmp_path / "cifar100").val.indices
    assert sorted(np.asarray(files["train"]["fine_labels"])[val]) == [0, 1, 2, 3]
    assert manifest.class_ids == ("class_000", "class_001", "class_002", "class_003")
    assert manifest.class_names[0] == "class 000"


def test_extracted_folder_gives_the_same(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as opened:
        for member in opened:  # `extractall` wants a filter, which Python 3.11.2 doesn't know
            if file := opened.extractfile(member):
                path = tmp_path / "out" / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read())
    packed = prepare("cifar100", source=archive, data=tmp_path / "1", workers=1)
    for number, folder in enumerate(("out", f"out/{TOP}")):
        data = tmp_path / f"folder-{number}"
        loose = prepare("cifar100", source=tmp_path / folder, data=data, workers=1)
        assert (loose.fingerprint, loose.files) == (packed.fingerprint, packed.files)


def test_second_time_finds_the_work_done_and_tells_sources_apart(
    archive: Path, tmp_path: Path
) -> None:
    manifest = prepare("cifar100", source=archive, data=tmp_path / "d", workers=1)
    assert prepare("cifar100", source=archive, data=tmp_path / "d") == manifest
    other = make_cifar100_archive(tmp_path / "other.tar.gz", 5, 10)
    assert fingerprint(cifar100.open_source(other)) != manifest.source_fingerprint
    with pytest.raises(DatasetError, match="made from another source"):
        prepare("cifar100", source=other, data=tmp_path / "d")


def test_download_must_have_the_published_md5(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cifar100.ARCHIVE.md5 == "eb9058c3a382ffc7106e4002c42a8d85"
    content = archive.read_bytes()
    for name, md5 in (("good", hashlib.md5(content).hexdigest()), ("bad", "0" * 32)):
        spec = cifar100.CIFAR100
        place = Archive(url="http://127.0.0.1:9/c.tar.gz", size_bytes=len(content), md5=md5)
        known = {"cifar100": type(spec)(**{**fields(spec), "archive": place})}
        monkeypatch.setattr(registry, "DATASETS", known)
        # All bytes have come, and wait to be checked: no connection is made.
        downloads = tmp_path / name / "downloads"
        downloads.mkdir(parents=True)
        (downloads / "c.tar.gz.partial").write_bytes(content)
        if name == "good":
            assert prepare("cifar100", data=tmp_path / name, workers=1).train_images == 36
        else:
            with pytest.raises(DatasetError, match="must have md5 0000"):
                prepare("cifar100", data=tmp_path / name, workers=1)


def fields(spec: Any) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__slots__}


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def test_pickles_run_nothing(tmp_path: Path) -> None:
    evil = pickle.dumps({"data": Evil(tmp_path / "mark")})
    assert "system" in " ".join(str(arg) for _, arg, _ in pickletools.genops(evil))
    with pytest.raises(ValueError, match=r"it names (posix|nt)\.system, which these files never"):
        load(evil)
    files = {n: python2_pickle(value) for n, value in cifar_files(2, 5).items()}
    path = write_archive(tmp_path / "evil.tar.gz", files | {"train": evil})
    with pytest.raises(DatasetError, match=r"train in .*evil\.tar\.gz must be a file of CIFAR-100"):
        prepare("cifar100", source=path, data=tmp_path / "d")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("value", [np.ones((2, 2)), np.array(["x"]), np.array([None])])
def test_only_arrays_of_bytes_are_made(value: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must be of uint8, but one is of"):
        load(python2_pickle({"data": value}))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pickles_of_python_3_are_read_too(protocol: int) -> None:
    value = {"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "names": [b"a", "b"]}
    found = load(pickle.dumps(value, protocol))
    assert np.array_equal(found["data"], value["data"])
    assert found["names"] == [b"a", "b"]


def changed(part: str, **values: Any) -> dict[str, bytes]:
    files = cifar_files(3, 4)
    files[part] |= values
    return {name: python2_pickle(value) for name, value in files.items()}


@pytest.mark.parametrize(
    ("pickles", "message"),
    [
        (changed("train", data=np.zeros((12, 3071), np.uint8)), "data with rows of 3072"),
        (changed("train", data=None), "no array data"),
        (changed("test", fine_labels=[0]), "no list fine_labels of 3 labels"),
        (changed("test", fine_labels=[0, 1, 3]), "the label 3 in it is none of 0…2"),
        (changed("test", fine_labels=[0, 1, True]), "the label True"),
        (changed("meta", fine_label_names=None), "no list fine_label_names"),
        (changed("meta", fine_label_names=["b", "a", "c"]), "in alphabetical order"),
        (changed("meta", fine_label_names=["a", "b", 3]), "3 is no text"),
        (changed("meta") | {"train": b""}, "must be a file of CIFAR-100"),
        (changed("meta") | {"train": b"hello"}, "must be a file of CIFAR-100"),
        (changed("meta") | {"meta": pickle.dumps([1])}, "no dictionary but a list"),
        ({"data_batch_1": b"", "batches.meta": b""}, "must hold CIFAR-100's files train, test"),
    ],
)
def test_foreign_archives_are_one_sentence(
    pickles: dict[str, bytes], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_archive(tmp_path / "x.tar.gz", pickles)
    assert main(["cifar100", "--source", str(path), "--data", str(tmp_path / "d")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_damaged_archives_are_one_sentence(archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    flipped = bytearray(whole)
    flipped[-6] ^= 1  # in the checksum: the content itself can be read
    damaged = {
        "cut": whole[: len(whole) // 2],
        "flipped": bytes(flipped),
        "text": b"no archive at all",
        "empty": b"",
    }
    for name, content in damaged.items():
        path = tmp_path / f"{name}.tar.gz"
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=rf"{name}\.tar\.gz is no tar\.gz .* copy it again"):
            prepare("cifar100", source=path, data=tmp_path / "d")
    with pytest.raises(DatasetError, match=r"gone\.tar\.gz is missing"):
        prepare("cifar100", source=tmp_path / "gone.tar.gz", data=tmp_path / "d")


def test_links_in_an_archive_count_as_absent(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as made, tarfile.open(archive) as small:
        for member in small:
            made.addfile(member, small.extractfile(member))
        link = tarfile.TarInfo(f"{TOP}/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link, io.BytesIO())
    tree = cifar100.open_source(tmp_path / "x.tar.gz")
    assert list(tree.files()) == [f"{TOP}/{name}" for name in ("meta", "test", "train")]
    with pytest.raises(KeyError):
        tree.read(f"{TOP}/link")


def test_other_datasets_still_want_a_zip(archive: Path) -> None:
    with pytest.raises(DatasetError, match="is no zip archive"):
        open_tree(archive)
