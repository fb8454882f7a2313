"""Files at shared paths, in object stores and in other file systems, whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import remote
from common.files import open_atomically
from common.remote import RemoteError, UriPlace, is_place


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "here.pt"
    path.write_bytes(os.urandom(100_000))
    return path


def comes_back(place: UriPlace, file: Path, to: Path) -> None:
    """Kept, replaced, listed, fetched and dropped."""
    assert place.names() == set()
    assert not place.fetch("0001.pt", to)
    assert not to.exists()
    place.keep(file, "0001.pt")
    file.write_bytes(file.read_bytes() + b"more")
    place.keep(file, "0001.pt")
    assert place.names() == {"0001.pt"}
    assert place.fetch("0001.pt", to)
    assert to.read_bytes() == file.read_bytes()
    place.drop("0001.pt")
    place.drop("0001.pt")
    assert place.names() == set()


@pytest.mark.parametrize("uri", ["{}", "file://{}", "memory://{}"])
def test_a_file_comes_back_as_it_was_kept(tmp_path: Path, file: Path, uri: str) -> None:
    place = UriPlace(uri.format(tmp_path / "shared")).below("run", "checkpoints")
    comes_back(place, file, tmp_path / "to" / "back.pt")


@pytest.mark.parametrize("uri", ["{}", "file://{}", "memory://{}"])
def test_a_run_may_have_a_name_with_blanks_and_marks(tmp_path: Path, file: Path, uri: str) -> None:
    place = UriPlace(uri.format(tmp_path / "shared")).below("my run #1?", "checkpoints")
    comes_back(place, file, tmp_path / "to" / "back.pt")


def test_only_uris_have_quoted_names() -> None:
    assert str(UriPlace("/shared").below("my run")) == "/shared/my run"
    below = UriPlace("s3://bucket/runs?region=x").below("my run", "0001.pt")
    assert str(below) == "s3://bucket/runs/my%20run/0001.pt?region=x"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of a bucket on a server of this machine that speaks S3's protocol."""
    import boto3
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=url, region_name="us-east-1").create_bucket(Bucket="bucket")
    yield f"s3://bucket/runs?scheme=http&region=us-east-1&endpoint_override={host}:{port}"
    server.stop()


@pytest.mark.slow
def test_a_file_comes_back_from_s3(tmp_path: Path, file: Path, s3: str) -> None:
    place = UriPlace(s3).below("run", "checkpoints")
    comes_back(place, file, tmp_path / "back.pt")


@pytest.mark.slow
def test_an_upload_to_s3_that_breaks_off_leaves_the_file_before(
    tmp_path: Path, file: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, before = UriPlace(s3), file.read_bytes()
    place.keep(file, "0001.pt")
    broken_off(place, file, monkeypatch)
    assert place.fetch("0001.pt", tmp_path / "back.pt")
    assert (tmp_path / "back.pt").read_bytes() == before


def test_what_breaks_off_leaves_the_file_before(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, before = UriPlace(str(tmp_path / "shared")), file.read_bytes()
    place.keep(file, "0001.pt")
    broken_off(place, file, monkeypatch)
    assert place.fetch("0001.pt", tmp_path / "back.pt")
    assert (tmp_path / "back.pt").read_bytes() == before


def broken_off(place: UriPlace, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another content is half sent when the disk, or the network, fails."""

    def half(source, stream, size):
        stream.write(b"half of it")
        raise OSError("connection reset")

    file.write_bytes(b"another" * 50_000)
    with monkeypatch.context() as broken:
        broken.setattr(shutil, "copyfileobj", half)
        with pytest.raises(OSError, match="connection reset"):
            place.keep(file, "0001.pt")
    assert place.names() == {"0001.pt"}


def test_a_file_that_is_shorter_there_is_not_kept(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "copyfileobj", lambda source, stream, size: stream.write(b"half"))
    place = UriPlace(str(tmp_path / "shared"))
    with pytest.raises(OSError, match=r"100000 bytes were sent to .*shared, but 4 arrived"):
        place.keep(file, "0001.pt")
    assert place.names() == set()


def test_a_new_file_is_whole_or_absent(tmp_path: Path) -> None:
    to = tmp_path / "a" / "file"
    with contextlib.suppress(OSError), open_atomically(to) as file:
        file.write(b"half")
        raise OSError("disk")
    assert list((tmp_path / "a").iterdir()) == []


def test_s3_may_take_its_time() -> None:
    """To copy a large checkpoint, for example, of which it says nothing before the end."""
    system, path = remote._file_system("s3://bucket/a/b?region=eu-central-1&scheme=http")
    _, (options,) = system.__reduce__()
    assert path == "bucket/a/b"
    assert {key: options[key] for key in ("region", "scheme", "request_timeout")} == {
        "region": "eu-central-1", "scheme": "http", "request_timeout": 120.0,
    }  # fmt: skip


def test_a_file_system_that_nobody_knows_is_named() -> None:
    with pytest.raises(RemoteError, match="abc://bucket must be an absolute path or a URI"):
        UriPlace("abc://bucket").names()


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("/mnt/shared", True),
        ("s3://bucket/runs", True),
        ("s3://bucket/runs?region=eu-central-1&endpoint_override=localhost:5000", True),
        ("gs://bucket", True),
        ("shared", False),
        ("s3://KEY:SECRET@bucket/runs", False),
        ("s3://bucket/runs?secret_key=SECRET", False),
        ("abfs://bucket/runs?sas_token=SECRET", False),
    ],
)
def test_a_place_is_the_same_on_every_node_and_holds_no_key(text: str, good: bool) -> None:
    assert is_place(text) == good
