"""Only regular files are read: whatever else lies at a path is named and never opened."""

import os
import socket
from pathlib import Path

import pytest

from common.files import is_locked, read_json
from common.regular_files import irregular_kind, open_private_log, read_regular


def test_a_file_and_a_link_to_it_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "file", 7) == read_regular(tmp_path / "link", 7) == b"content"
    assert irregular_kind(tmp_path / "link") is None
    assert irregular_kind(tmp_path) is None
    assert irregular_kind(tmp_path / "nothing") is None
    with pytest.raises(OSError, match="a file of 7 bytes, above the limit of 6"):
        read_regular(tmp_path / "file", 6)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "nothing", 6)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path, 1 << 20)


@pytest.mark.timeout(20)
def test_pipes_sockets_and_devices_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    opened: list[object] = []
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        monkeypatch.setattr(os, "open", lambda *words: opened.append(words))
        for name, kind in (
            ("pipe", "a named pipe"),
            ("socket", "a socket"),
            ("device", "a device"),
        ):
            assert irregular_kind(tmp_path / name) == kind
            with pytest.raises(OSError, match=f"{kind} and no file"):
                read_regular(tmp_path / name, 1 << 20)
    assert opened == []


@pytest.mark.timeout(20)
def test_a_log_is_a_file_that_its_user_alone_can_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n", encoding="utf-8")
    log.chmod(0o644)
    descriptor = open_private_log(log)
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    assert log.read_text(encoding="utf-8") == "before\nafter\n"
    assert oct(log.stat().st_mode & 0o777) == "0o600"
    (tmp_path / "link").symlink_to("log")
    with pytest.raises(OSError, match="symbolic links"):
        open_private_log(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a named pipe and no file"):
        open_private_log(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="a named pipe and no file"):
        open_private_log(tmp_path / "pipe")
    os.close(reader)


@pytest.mark.timeout(20)
def test_a_pipe_in_place_of_json_or_of_a_lock_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a named pipe and no file"):
        read_json(tmp_path / "pipe")
    assert not is_locked(tmp_path / "pipe")
