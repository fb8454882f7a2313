"""Downloads over a real connection to a server that breaks, lies or is gone."""

import errno
import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.sources import download
from datasets.sources.download import fetch
from datasets.spec import Archive, DatasetError

CONTENT = np.random.default_rng(3).bytes(700_000)


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `cut_after` bytes break each connection, `starts` are those asked for."""

    cut_after: int | None = None
    ranges = True
    status: int | None = None
    starts: list[int]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        self.server.starts.append(start)
        if self.server.status:
            self.send_error(self.server.status)
            return
        if not self.server.ranges:
            start = 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        cut = self.server.cut_after
        self.wfile.write(CONTENT[start : start + cut] if cut is not None else CONTENT[start:])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as running:
        running.starts = []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def archive(server: Server, content: bytes = CONTENT) -> Archive:
    return Archive(
        url=f"http://127.0.0.1:{server.server_address[1]}/x.zip",
        size_bytes=len(CONTENT),
        md5=hashlib.md5(content).hexdigest(),
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_whole_file_arrives_and_is_not_fetched_twice(server: Server, tmp_path: Path) -> None:
    to = tmp_path / "new" / "x.zip"
    for _ in range(2):
        assert fetch(archive(server), to) == to
        assert to.read_bytes() == CONTENT
    assert server.starts == [0]
    assert names(to.parent) == {"x.zip"}


def test_broken_connections_are_resumed_where_they_broke(server: Server, tmp_path: Path) -> None:
    server.cut_after = 300_000
    assert fetch(archive(server), tmp_path / "x.zip").read_bytes() == CONTENT
    assert server.starts == [0, 300_000, 600_000]


def test_next_run_goes_on_where_the_last_one_ended(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.zip.partial").write_bytes(CONTENT[:123_456])
    assert fetch(archive(server), tmp_path / "x.zip").read_bytes() == CONTENT
    assert server.starts == [123_456]


def test_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "x.zip.partial").write_bytes(b"?" * 1000)
    assert fetch(archive(server), tmp_path / "x.zip").read_bytes() == CONTENT
    assert server.starts == [1000]


def test_complete_partial_needs_no_connection(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.zip.partial").write_bytes(CONTENT)
    assert fetch(archive(server), tmp_path / "x.zip").read_bytes() == CONTENT
    assert server.starts == []


def test_wrong_content_is_removed_and_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"must have md5 .* and was removed; .*--source x\.zip"):
        fetch(archive(server, b"other"), tmp_path / "x.zip")
    assert names(tmp_path) == set()


def test_connection_that_brings_nothing_gives_up_and_keeps_what_came(
    server: Server, tmp_path: Path
) -> None:
    server.cut_after = 0
    (tmp_path / "x.zip.partial").write_bytes(CONTENT[:5000])
    with pytest.raises(DatasetError, match=r"can't be downloaded .*--source x\.zip"):
        fetch(archive(server), tmp_path / "x.zip")
    assert server.starts == [5000] * 5
    assert (tmp_path / "x.zip.partial").read_bytes() == CONTENT[:5000]


def test_missing_page_is_named_at_once(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(DatasetError, match=r"x\.zip can't be downloaded \(HTTP status 404\)"):
        fetch(archive(server), tmp_path / "x.zip")
    assert server.starts == [0]


def test_unreachable_host_gives_the_two_ways_on(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    gone = Archive(url=f"http://127.0.0.1:{port}/x.zip", size_bytes=9, md5="")
    with pytest.raises(
        DatasetError, match=r"run the same command when .*another machine.*--source"
    ):
        fetch(gone, tmp_path / "x.zip")


def test_stalled_server_meets_the_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.zip"
        with pytest.raises(DatasetError, match=r"can't be downloaded .*timed out"):
            fetch(Archive(url=url, size_bytes=9, md5=""), tmp_path / "x.zip", timeout_s=0.2)


def test_disk_that_fills_up_midway_is_one_sentence(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_copy", full)
    with pytest.raises(DatasetError, match=r"disk that holds .* is full"):
        fetch(archive(server), tmp_path / "x.zip")
    assert server.starts == [0]


def test_full_disk_is_refused_before_the_download(server: Server, tmp_path: Path) -> None:
    huge = Archive(url=archive(server).url, size_bytes=1 << 60, md5="")
    with pytest.raises(DatasetError, match="MB of free disk space"):
        fetch(huge, tmp_path / "x.zip")
    assert server.starts == []
