"""Names in zip archives: marked ones as they are, UTF-8 where it fits, else a printed guess."""

import pickle
import shlex
import struct
import zipfile
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from datasets.archives.tree import fingerprint, open_tree
from datasets.manifest import Manifest, read_manifest
from datasets.prepare import main, prepare, remarks
from datasets.spec import DatasetError


class RawName(zipfile.ZipInfo):
    """An entry whose name is written as these bytes and isn't marked as UTF-8."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw.hex())
        self.raw = raw

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 # zipfile's own
        return self.raw, self.flag_bits & ~0x800


def picture(colour: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (16, 16), (colour, 90, 30)).save(file, "PNG")
    return file.getvalue()


def make_zip(path: Path, classes: Mapping[str, bytes], extra: bytes = b"") -> Path:
    """2 train images and 1 test image of each class; the class's raw name is the value."""
    with zipfile.ZipFile(path, "w") as archive:
        for label, raw in enumerate(classes.values()):
            for number, part in enumerate((b"train", b"train", b"test")):
                entry = RawName(part + b"/" + raw + b"/%d.png" % number)
                entry.extra = extra
                archive.writestr(entry, picture(60 * label + number))
    return path


def convert(tmp_path: Path, source: Path, **options: object) -> Manifest:
    given = {"size": 16, "workers": 1} | options
    return prepare("folder", source=source, data=tmp_path / "data", **given)  # type: ignore[arg-type]


def test_a_guess_is_printed_once_with_a_command_that_corrects_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_zip(tmp_path / "my images.zip", {"cat": b"cat", "日本": "日本".encode("cp932")})
    data = ["--data", str(tmp_path / "data")]
    assert main(["folder", "--source", str(source), *data, "--size", "16"]) == 0
    shown = capsys.readouterr().out
    guess = "日本".encode("cp932").decode("cp437")
    (line,) = [each for each in shown.splitlines() if each.startswith("guessed: ")]
    assert line.startswith(
        "guessed: 3 names in the archive that state no encoding are read in cp437, as "
        f"test/{guess}/2.png; if that looks wrong, name their encoding, as with `python -m "
    )
    manifest = read_manifest(tmp_path / "data" / "folder")
    assert manifest.class_ids == ("cat", guess)
    assert manifest.code_page == {
        "encoding": "cp437", "guessed": True, "names": 3, "example": f"test/{guess}/2.png",
    }  # fmt: skip
    command = shlex.split(line.split("`")[1].replace("cp1252", "MS932"))
    assert main(command[3:]) == 0
    assert "guessed" not in capsys.readouterr().out
    corrected = read_manifest(tmp_path / "data" / "folder")
    assert corrected.class_ids == ("cat", "日本")
    assert corrected.code_page == {
        "encoding": "cp932", "guessed": False, "names": 3, "example": "test/日本/2.png",
    }  # fmt: skip


def test_prepared_data_keep_the_encoding_that_was_named(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "x.zip", {"cat": b"cat", "é": "é".encode("cp1252")})
    manifest = convert(tmp_path, source, zip_encoding="cp1252")
    assert manifest.class_ids == ("cat", "é")
    # The search and final training name the source without its encoding.
    assert prepare("folder", source=source, data=tmp_path / "data") == manifest
    assert prepare("folder", data=tmp_path / "data", zip_encoding="cp1252") == manifest
    with pytest.raises(
        DatasetError, match=r"were read as cp1252, not as cp932; .* `python .* --overwrite`"
    ):
        prepare("folder", data=tmp_path / "data", zip_encoding="cp932")


def test_the_command_that_makes_damaged_data_anew_names_the_encoding(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "x.zip", {"cat": b"cat", "é": "é".encode("cp1252")})
    manifest = convert(tmp_path, source, zip_encoding="cp1252")
    directory = tmp_path / "data" / "folder"
    (directory / "train.beton").write_bytes(b"damaged")
    with pytest.raises(DatasetError, match=r"datasets\.prepare .*--zip-encoding cp1252") as error:
        read_manifest(directory)
    assert main(shlex.split(str(error.value).split("`")[1])[3:]) == 0
    assert read_manifest(directory).class_ids == manifest.class_ids == ("cat", "é")


def test_names_that_are_utf8_are_no_guess_to_speak_of(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "x.zip", {"cat": b"cat", "bär": "bär".encode()})
    manifest = convert(tmp_path, source)
    assert manifest.class_ids == ("bär", "cat")
    assert manifest.code_page
    assert (manifest.code_page["encoding"], manifest.code_page["names"]) == ("utf-8", 3)
    assert not [line for line in remarks(manifest, tmp_path / "data") if "guessed" in line]


def test_an_archive_of_marked_and_ascii_names_states_no_code_page(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("bär/1.png", b"1")
        archive.writestr("cat/1.png", b"1")
    for encoding in (None, "cp932"):
        tree = open_tree(tmp_path / "x.zip", encoding)
        assert list(tree.files()) == ["bär/1.png", "cat/1.png"]
        assert tree.code_page() is None


def test_a_name_in_the_extra_field_counts_if_it_belongs_to_the_entry(tmp_path: Path) -> None:
    def field(raw: bytes, name: bytes) -> bytes:
        content = b"\x01" + struct.pack("<I", zlib.crc32(raw)) + name
        return struct.pack("<HH", 0x7075, len(content)) + content

    raw, other = b"caf#U00e9/1.png", struct.pack("<HH", 0x5455, 1) + b"\0"
    for number, (extra, name) in enumerate(
        [
            (other + field(raw, "café/1.png".encode()), "café/1.png"),
            (field(b"another", "café/1.png".encode()), "caf#U00e9/1.png"),
            (field(raw, b"caf\xe9/1.png"), "caf#U00e9/1.png"),
        ]
    ):
        path = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            entry = RawName(raw)
            entry.extra = extra
            archive.writestr(entry, b"1")
        assert list(open_tree(path, "cp932").files()) == [name]


def test_other_processes_read_the_same_names(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "x.zip", {"cat": b"cat", "é": "é".encode("cp1252")})
    tree = open_tree(source, "cp1252")
    again = pickle.loads(pickle.dumps(tree))
    assert "train/é/0.png" in again.files()
    assert fingerprint(again) == fingerprint(tree) != fingerprint(open_tree(source))


@pytest.mark.parametrize(
    ("encoding", "source", "message"),
    [
        ("cp9999", "x.zip", "must be an encoding that Python knows, .* but got 'cp9999'."),
        ("base64", "x.zip", "must be an encoding that Python knows, .* but got 'base64'."),
        ("ascii", "x.zip", r"but 'train/\S+/0\.png' can't be read as ascii; name another"),
        ("cp932", "folder", "--zip-encoding is for zip archives, but .*folder is a folder; leave"),
    ],
)
def test_a_wrong_encoding_is_one_sentence(
    encoding: str,
    source: str,
    message: str,
    tmp_path: Path,
) -> None:
    make_zip(tmp_path / "x.zip", {"cat": b"cat", "é": "é".encode("cp1252")})
    (tmp_path / "folder").mkdir()
    with pytest.raises(DatasetError, match=message) as caught:
        convert(tmp_path, tmp_path / source, zip_encoding=encoding)
    assert len(caught.value.errors) == 1


def test_all_wrong_options_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        convert(tmp_path, tmp_path, zip_encoding="cp9999", size=4000, workers=0)
    assert [error.split()[0] for error in caught.value.errors] == [
        "workers", "size", "--zip-encoding",
    ]  # fmt: skip


def test_a_command_about_sizes_repeats_the_encoding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.zip"
    file = BytesIO()
    Image.new("RGB", (90, 90)).save(file, "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        for name in (b"train/a/0.png", b"train/\xe9/0.png", b"test/a/0.png", b"test/\xe9/0.png"):
            archive.writestr(RawName(name), file.getvalue())
    arguments = ["folder", "--source", str(path), "--data", str(tmp_path)]
    assert main([*arguments, "--zip-encoding", "cp1252"]) == 2
    assert "--zip-encoding cp1252 --data" in capsys.readouterr().err
