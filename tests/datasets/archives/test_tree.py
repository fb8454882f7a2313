"""Sources: what is listed, what is refused, what is told apart."""

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest

from datasets.archives import limits
from datasets.archives.tar import TarTree
from datasets.archives.tree import fingerprint, open_tree
from datasets.spec import DatasetError

FILES = {
    "b/two.txt": b"22",
    "a.txt": b"1",
    "b/.hidden": b"x",
    "__MACOSX/a.txt": b"x",
    ".git/c": b"x",
}


def write_folder(root: Path) -> Path:
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("empty")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_lists_and_reads_visible_files_in_sorted_order(tmp_path: Path, kind: str) -> None:
    path = write_zip(tmp_path / "x.zip", FILES) if kind == "zip" else write_folder(tmp_path / "x")
    tree = pickle.loads(pickle.dumps(open_tree(path)))
    assert list(tree.files().items()) == [("a.txt", 1), ("b/two.txt", 2)]
    assert tree.read("b/two.txt") == b"22"
    assert tree.root == path
    with pytest.raises(KeyError):
        tree.read("nothing.txt")


@pytest.mark.parametrize(
    "name", ["/abs.txt", "../up.txt", "a/../../up.txt", "a\\..\\..\\up.txt", "C:\\x.txt"]
)
def test_entry_that_would_escape_is_refused(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "bad.zip", {"fine.txt": b"1", name: b"2"})
    with pytest.raises(DatasetError, match="would escape its folder") as caught:
        open_tree(path)
    assert repr(name) in str(caught.value)


def test_link_and_encrypted_entries_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DatasetError, match="symbolic link"):
        open_tree(tmp_path / "link.zip")
    data = bytearray(write_zip(tmp_path / "x.zip", {"a": b"1"}).read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # the flag in the last central entry
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(DatasetError, match="encrypted"):
        open_tree(tmp_path / "x.zip")


def test_damaged_and_missing_sources_are_one_sentence(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "whole.zip", {"a": b"1" * 500}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.zip").write_text("not a zip at all", encoding="utf-8")
    for name in ("cut.zip", "text.zip"):
        with pytest.raises(
            DatasetError, match=rf"{name} is no zip archive or a damaged one.*again"
        ):
            open_tree(tmp_path / name)
    with pytest.raises(DatasetError, match=r"nowhere\.zip is missing"):
        open_tree(tmp_path / "nowhere.zip")


def test_entry_with_a_wrong_checksum_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", {"a.txt": b"precious content"})
    path.write_bytes(path.read_bytes().replace(b"precious", b"precioys"))
    with pytest.raises(DatasetError, match=r"a\.txt in .*x\.zip is damaged \(Bad CRC-32"):
        open_tree(path).read("a.txt")


def test_fingerprint_follows_content_not_place_or_time(tmp_path: Path) -> None:
    first = fingerprint(open_tree(write_zip(tmp_path / "1.zip", {"a": b"1", "b": b"2"})))
    again = fingerprint(open_tree(write_zip(tmp_path / "2.zip", {"b": b"2", "a": b"1"})))
    other = fingerprint(open_tree(write_zip(tmp_path / "3.zip", {"a": b"1", "b": b"3"})))
    assert first == again != other


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("1", encoding="utf-8")
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(root)
    assert list(open_tree(root).files()) == ["linked/a.txt"]


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ALLOWANCE_BYTES", 1 << 16)
    zeros = bytes(1 << 20)
    with zipfile.ZipFile(tmp_path / "zeros.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"{number}.bmp", zeros)
    with pytest.raises(DatasetError, match=r"zeros\.zip is refused, because its .* to 3,145,728,"):
        open_tree(tmp_path / "zeros.zip")
    with tarfile.open(tmp_path / "zeros.tar.gz", "w:gz") as made:
        member = tarfile.TarInfo("train")
        member.size = len(zeros)
        made.addfile(member, io.BytesIO(zeros))
    for used in (lambda tree: tree.files(), lambda tree: tree.read("train")):
        with pytest.raises(DatasetError, match=r"zeros\.tar\.gz is refused, because it unpacks to"):
            used(TarTree(tmp_path / "zeros.tar.gz"))


def test_a_file_too_large_for_an_image_is_refused_by_what_it_claims(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "claims.zip", {"a.jpg": b"1"})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02") + 24  # the size that the table of contents claims
    data[at : at + 4] = (600 << 20).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"'a\.jpg' unpacks to 629,145,600 bytes"):
        open_tree(path)
    member = tarfile.TarInfo("train")
    member.size = 600 << 20
    with gzip.open(tmp_path / "claims.tar.gz", "wb") as file:
        file.write(member.tobuf() + bytes(1024))
    with pytest.raises(DatasetError, match=r"'train' in it has 629,145,600 bytes"):
        TarTree(tmp_path / "claims.tar.gz").files()


def test_an_honest_archive_of_plain_pictures_is_no_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "plain.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):  # a thousand times smaller each, and yet little
            archive.writestr(f"{number}.bmp", bytes(3 << 20))
    assert len(open_tree(tmp_path / "plain.zip").files()) == 4
