"""What the search's node hands out and takes in, a piece at a time. The actor without Ray."""

from types import SimpleNamespace
from typing import Any

import pytest

from search.ray_backend import file_server
from search.ray_backend.file_server import CHECKPOINTS, DATA, FileServer, FileServerPlace

PIECE = 1000


class Handle:
    """An actor's handle whose calls are done at once; `calls` counts them by name."""

    def __init__(self, actor: FileServer) -> None:
        self.actor, self.calls = actor, []

    def __getattr__(self, name: str) -> Any:
        def remote(*given: Any) -> Any:
            self.calls.append(name)
            return getattr(self.actor, name)(*given)

        return SimpleNamespace(remote=remote)


@pytest.fixture
def handle(tmp_path, monkeypatch):
    """The actor with small pieces, known to the places made from now on."""
    folders = {DATA: tmp_path / "data", CHECKPOINTS: tmp_path / "checkpoints"}
    folders[DATA].mkdir()
    made = Handle(FileServer(folders))
    fake = SimpleNamespace(
        get=lambda value, timeout=None: value,
        get_actor=lambda name: made,
        get_runtime_context=lambda: SimpleNamespace(get_worker_id=lambda: "w1"),
    )
    monkeypatch.setattr(file_server, "ray", fake)
    monkeypatch.setattr(file_server, "_PIECE_BYTES", PIECE)
    return made


@pytest.mark.parametrize("size", [0, 1, PIECE, 3 * PIECE, 3 * PIECE + 7])
def test_data_arrives_whole_in_pieces(handle, tmp_path, size):
    content = bytes(n % 251 for n in range(size))
    (tmp_path / "data" / "train.beton").write_bytes(content)
    assert FileServerPlace(DATA).fetch("train.beton", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    # one more is asked for beforehand, while the last one is written
    assert handle.calls.count("read") == -(-size // PIECE) + 1


def test_what_is_not_there_is_not_fetched(handle, tmp_path):
    assert not FileServerPlace(DATA).fetch("other", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_checkpoint_is_kept_whole_and_replaced(handle, tmp_path):
    written, place = tmp_path / "local.pt", FileServerPlace(CHECKPOINTS)
    for content in (b"a" * (2 * PIECE + 5), b"b" * 10):
        written.write_bytes(content)
        place.keep(written, "0003.pt")
        assert (tmp_path / "checkpoints" / "0003.pt").read_bytes() == content
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["0003.pt"]
    place.drop("0003.pt")
    place.drop("0003.pt")
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_half_a_checkpoint_of_a_worker_that_died_is_nobodys(handle, tmp_path):
    kept, actor = tmp_path / "checkpoints" / "0003.pt", handle.actor
    actor.write("0003.pt", "w0", 0, b"whole")
    actor.finish("0003.pt", "w0", 5)
    actor.write("0003.pt", "w1", 0, b"half of a later one")
    assert kept.read_bytes() == b"whole"
    with pytest.raises(OSError, match=r"30 bytes of 0003\.pt were sent home, but 19 arrived"):
        actor.finish("0003.pt", "w1", 30)
    actor.write("0003.pt", "w2", 0, b"begun")
    actor.write("0003.pt", "w3", 0, b"again")
    actor.finish("0003.pt", "w3", 5)
    assert kept.read_bytes() == b"again"
    assert [path.name for path in kept.parent.iterdir()] == ["0003.pt"]


@pytest.mark.parametrize("name", ["../manifest.json", "/etc/passwd", "a/b", ".."])
def test_nothing_outside_of_the_two_folders_is_reached(handle, name):
    for call in (
        lambda: handle.actor.read(DATA, name, 0),
        lambda: handle.actor.drop(name),
        lambda: handle.actor.write(name, "w1", 0, b""),
    ):
        with pytest.raises(ValueError, match="must be a file's name alone"):
            call()
