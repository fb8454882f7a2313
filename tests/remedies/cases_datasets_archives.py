"""Errors about archives and downloads: damaged or large ones, and hosts that can't be reached."""

import errno
import os
import pickle
import shutil
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from datasets.archives import limits, tar
from datasets.archives.zip_entries import ZipEntries
from datasets.archives.zip_tree import ZipTree
from datasets.registry import DATASETS
from datasets.sources import download
from datasets.sources.download import fetch
from datasets.sources.tiny_imagenet import TINY_IMAGENET
from tests.datasets.sources import test_download
from tests.datasets.sources.cifar_archive import TOP, make_cifar100_archive, write_archive
from tests.datasets.sources.test_download import CONTENT, Server, archive
from tests.remedies.harness import Command, Steps, case
from tests.remedies.images import prepare_folder, write_images

LIMIT = ("datasets/archives/limits.py::limit_error", "as images never do")
TREE, ZIP = "datasets/archives/tree.py::open_tree", "datasets/archives/zip_tree.py"
TAR, DOWNLOAD = "datasets/archives/tar.py", "datasets/sources/download.py"


def zipped(tmp_path: Path) -> Path:
    """Makes a zip archive of images and returns its path."""
    source = write_images(tmp_path / "src")
    return Path(shutil.make_archive(str(tmp_path / "images"), "zip", source))


def damage(path: Path, pattern: bytes) -> None:
    """Overwrites a few bytes behind the first place where `pattern` occurs."""
    content = bytearray(path.read_bytes())
    at = content.index(pattern) + 40
    content[at : at + 30] = bytes(30)
    path.write_bytes(content)


def cifar(source: Path, tmp_path: Path) -> Command:
    """Returns the command that prepares a source of CIFAR-100."""
    return prepare_folder(source, tmp_path).replace("folder", "cifar100")


def extracted(path: Path, tmp_path: Path) -> Path:
    """Extracts an archive, as the sentences advise, and returns the folder."""
    shutil.unpack_archive(path, tmp_path / "extracted")
    return tmp_path / "extracted"


@case(TREE, "must be a zip archive or a folder")
def a_source_that_is_missing(tmp_path: Path) -> Steps:
    path = zipped(tmp_path)
    command = prepare_folder(tmp_path / "image.zip", tmp_path)
    refusal = yield command
    assert "image.zip is missing; check the path" in refusal.text
    return command.replace(tmp_path / "image.zip", path)


@case(TREE, "must be a zip archive or a folder")
def a_source_that_is_a_pipe(tmp_path: Path) -> Steps:
    path = zipped(tmp_path)
    os.mkfifo(tmp_path / "image.zip")
    command = prepare_folder(tmp_path / "image.zip", tmp_path)
    refusal = yield command
    assert "image.zip is a named pipe; check the path" in refusal.text
    return command.replace(tmp_path / "image.zip", path)


@case(TREE, "is refused: its entry")
def an_archive_with_a_link(tmp_path: Path) -> Steps:
    path = zipped(tmp_path)
    with zipfile.ZipFile(path, "a") as written:
        link = zipfile.ZipInfo("train/cat/link.jpg")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        written.writestr(link, "1.jpg")
    command = prepare_folder(path, tmp_path)
    refusal = yield command
    assert "'train/cat/link.jpg' is a symbolic link; " in refusal.text
    assert "or pass the extracted folder." in refusal.text
    return command.replace(path, extracted_links(path, tmp_path))


def extracted_links(path: Path, tmp_path: Path) -> Path:
    """Extracts an archive with its link, as unzip does."""
    folder = extracted(path, tmp_path)
    link = folder / "train" / "cat" / "link.jpg"
    target = link.read_text(encoding="utf-8")
    link.unlink()
    link.symlink_to(target)
    return folder


@case(TREE, "limit_error(", *LIMIT)
def an_archive_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    source = write_images(tmp_path / "src")
    (source / "train" / "zeros.txt").write_bytes(bytes(1 << 20))
    path = Path(shutil.make_archive(str(tmp_path / "images"), "zip", source))
    monkeypatch.setattr(limits, "ALLOWANCE_BYTES", 0)
    monkeypatch.setattr(limits, "MAX_RATIO", 10)
    command = prepare_folder(path, tmp_path)
    refusal = yield command
    assert "or pass the extracted folder." in refusal.text
    return command.replace(path, extracted(path, tmp_path))


@case(f"{TAR}::_check", "limit_error(", *LIMIT)
def a_tar_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    path = make_cifar100_archive(tmp_path / "cifar.tar.gz")
    monkeypatch.setattr(limits, "ALLOWANCE_BYTES", 0)
    monkeypatch.setattr(limits, "MAX_RATIO", 1)
    refusal = yield cifar(path, tmp_path)
    assert "or pass the extracted folder." in refusal.text
    return cifar(extracted(path, tmp_path), tmp_path)


@case(f"{TAR}::_files_in", "it has more than", *LIMIT)
def a_tar_with_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    path = make_cifar100_archive(tmp_path / "cifar.tar.gz")
    monkeypatch.setattr(tar, "MAX_MEMBERS", 2)
    refusal = yield cifar(path, tmp_path)
    assert "because it has more than 2 members, as" in refusal.text
    return cifar(extracted(path, tmp_path), tmp_path)


@case(f"{TAR}::_files_in", "in it has", *LIMIT)
def a_tar_with_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    path = make_cifar100_archive(tmp_path / "cifar.tar.gz")
    monkeypatch.setattr(tar, "LARGEST_FILE_BYTES", 1000)
    refusal = yield cifar(path, tmp_path)
    assert "or pass the extracted folder." in refusal.text
    return cifar(extracted(path, tmp_path), tmp_path)


@case(f"{TAR}::_open", "is no tar.gz archive or a damaged one")
def a_tar_that_is_cut_short(tmp_path: Path) -> Steps:
    path = make_cifar100_archive(tmp_path / "cifar.tar.gz")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refusal = yield cifar(path, tmp_path)
    assert "download or copy it again" in refusal.text
    path.write_bytes(whole)


@case(f"{ZIP}::archive", "is no zip archive or a damaged one")
def a_tar_of_images(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src")
    path = Path(shutil.make_archive(str(tmp_path / "images"), "gztar", source))
    command = prepare_folder(path, tmp_path)
    refusal = yield command
    assert "or pass the extracted folder." in refusal.text
    return command.replace(path, extracted(path, tmp_path))


@case(f"{ZIP}::read", "is damaged")
def a_damaged_table_in_a_zip(tmp_path: Path, tiny_zip: Path) -> Steps:
    path = Path(shutil.copy(tiny_zip, tmp_path / "tiny.zip"))
    damage(path, b"val_annotations.txt")
    command = prepare_folder(path, tmp_path).replace("folder", "tiny-imagenet")
    refusal = yield command
    assert "download or copy the archive again" in refusal.text
    shutil.copy(tiny_zip, path)


@case("datasets/archives/zip_entries.py::read", "is damaged")
def a_damaged_image_in_a_zip(tmp_path: Path) -> Steps:
    path = zipped(tmp_path)
    whole = path.read_bytes()
    tree = ZipTree(path)
    first = next(iter(tree.files()))
    damage(path, first.encode())
    refusal = yield lambda: [part.read(first) for part in [ZipTree(path).part([first])]]
    assert isinstance(tree.part([first]), ZipEntries)
    assert "download or copy the archive again" in refusal.text
    path.write_bytes(whole)


@case("datasets/archives/folder_tree.py::_scan", "can't be read")
def a_folder_without_the_right_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    source, scan = write_images(tmp_path / "src"), os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "cat":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scan(path)

    with monkeypatch.context() as patch:  # root may read every folder, so no mode of it helps
        patch.setattr(os, "scandir", refuse)
        refusal = yield prepare_folder(source, tmp_path)
    assert "give your user the right to read it" in refusal.text


@case("datasets/archives/folder_tree.py::read", "no file that is read, but {}")
def an_endless_image(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src")
    with (source / "train" / "cat" / "old.jpg").open("wb") as file:
        file.truncate(1 << 40)
    refusal = yield prepare_folder(source, tmp_path)
    assert "a file of 1,099,511,627,776 bytes, above the limit of 536,870,912" in refusal.text
    return refusal.command()


@case(
    "datasets/archives/folder_tree.py::read", "a link to {}, which is missing",
    "datasets/beton/convert.py::_broken_message", "broken in",
    "datasets/beton/convert.py::convert", "_broken_message",
)  # fmt: skip
def a_link_to_nothing(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src")
    (source / "train" / "cat" / "old.jpg").symlink_to(tmp_path / "gone.jpg")
    refusal = yield prepare_folder(source, tmp_path)
    return refusal.command()


@case("datasets/sources/cifar100.py::_find_top", "must hold CIFAR-100's files")
def another_archive_than_cifar_s(tmp_path: Path) -> Steps:
    source = zipped(tmp_path)
    refusal = yield cifar(source, tmp_path)
    name = refusal.find(r"pass (\S+\.tar\.gz)")
    return cifar(make_cifar100_archive(tmp_path / name), tmp_path)


@case("datasets/sources/cifar100.py::list_samples", "must be a file of CIFAR-100")
def a_foreign_file_in_cifar_s_archive(tmp_path: Path) -> Steps:
    path = tmp_path / "cifar.tar.gz"
    foreign = pickle.dumps(["no", "dictionary"], protocol=2)
    write_archive(path, dict.fromkeys(("train", "test", "meta"), foreign))
    refusal = yield cifar(path, tmp_path)
    assert f"{TOP}/meta in {path} must be a file of CIFAR-100" in refusal.text
    assert "download the archive again" in refusal.text
    make_cifar100_archive(path)


@case(f"{DOWNLOAD}::fetch", "must have md5")
def a_download_of_something_else(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    with monkeypatch.context() as patch:
        patch.setattr(test_download, "CONTENT", CONTENT[:-1] + b"?")
        refusal = yield lambda: fetch(archive(server), tmp_path / "x.zip")
    assert "run it again, or download it on another machine" in refusal.text


UNREACHABLE = (f"{DOWNLOAD}::_unreachable_error", "can't be downloaded")


@case(f"{DOWNLOAD}::_download", "HTTP status", *UNREACHABLE)
def a_host_that_refuses(
    tmp_path: Path, tiny_zip: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    monkeypatch.setitem(DATASETS, "tiny-imagenet", replace(TINY_IMAGENET, archive=archive(server)))
    monkeypatch.chdir(tmp_path)
    server.status = 503
    command = Command("datasets.prepare", "tiny-imagenet", "--workers", 1)
    refusal = yield command
    option, name = refusal.options("--source")
    shutil.copy(tiny_zip, name)
    return command.add(option, name)


@case(f"{DOWNLOAD}::_download", "_unreachable_error(archive, reason)", *UNREACHABLE)
def a_host_that_breaks_off(tmp_path: Path, server: Server) -> Steps:
    server.cut_after = 0
    refusal = yield lambda: fetch(archive(server), tmp_path / "x.zip")
    assert "run the same command when the network is there" in refusal.text
    server.cut_after = None


def while_disk_is(faulty: list[int], work: Callable[..., object]) -> Callable[..., object]:
    """Returns `work`, which fails with the error that `faulty` holds, as long as it holds one."""

    def attempt(*arguments: object, **more: object) -> object:
        for code in faulty:
            raise OSError(code, os.strerror(code))
        return work(*arguments, **more)

    return attempt


@case(
    f"{DOWNLOAD}::_download", "_disk_full_error", f"{DOWNLOAD}::_disk_full_error", "is full; free"
)  # fmt: skip
def a_disk_that_fills_up(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Steps:
    full = [errno.ENOSPC]
    monkeypatch.setattr(download, "_copy", while_disk_is(full, download._copy))
    refusal = yield lambda: fetch(archive(server), tmp_path / "x.zip")
    assert "free some space and run the same command again" in refusal.text
    full.clear()


@case(
    f"{DOWNLOAD}::_check_space", "DatasetError(lacking)",
    "common/files.py::describe_lacking_space", "of free disk space",
)  # fmt: skip
def a_disk_that_is_too_small(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        refusal = yield lambda: fetch(archive(server), tmp_path / "x.zip")
    assert "free some or use another --data folder" in refusal.text
