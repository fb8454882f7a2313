"""What a search prints about its page: an address that opens it, or the command for the token."""

import http.client
import io
import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from rich.console import Console

from results.live.serve import listen
from search.monitoring.monitor import Monitor
from search.session.ray_life import serve_page
from tests.results.example_search import six


def printed(run: Path, host: str, held: ExitStack) -> tuple[str, int]:
    """The line about the page of a run that is served at a host, and the port."""
    listening = held.enter_context(listen(host, 0))
    console = Console(file=io.StringIO(), width=40)
    serve_page(run, listening, Monitor(console, 4), held)
    return console.file.getvalue(), listening.getsockname()[1]  # type: ignore[attr-defined]


def get(port: int, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers=headers)
    return connection.getresponse()


@pytest.fixture(autouse=True)
def _no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a cluster that was started without one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_token_of_ray_the_printed_address_opens_the_page(tmp_path: Path) -> None:
    with ExitStack() as held:
        line, port = printed(six(tmp_path / "run"), "0.0.0.0", held)
        found = re.fullmatch(rf"page       http://\S+:{port}(/\?token=([\w-]{{40,}}))\n", line)
        assert found, line
        assert get(port, "/").status == 401
        entered = get(port, found[1])
        assert (entered.status, entered.headers["Location"]) == (303, "/")
        cookie = entered.headers["Set-Cookie"].split(";")[0]
        assert "Trial 2 reaches 55.0 %" in get(port, "/", Cookie=cookie).read().decode()
        again, other = printed(tmp_path / "run", "0.0.0.0", held)
        assert found[2] not in again
        assert get(other, found[1]).status == 401


@pytest.mark.parametrize("variable", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", ""])
def test_ray_s_token_opens_the_page_and_isnt_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    token, path = "t0ken" * 8, tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text(f"{token}\n", encoding="ascii")
    if variable:
        monkeypatch.setenv(variable, str(path) if variable.endswith("PATH") else f" {token} ")
    with ExitStack() as held:
        line, port = printed(six(tmp_path / "run"), "0.0.0.0", held)
        named = f"RAY_AUTH_TOKEN_PATH={path} " * variable.endswith("PATH")
        command = f"{named}ray get-auth-token"
        assert line.endswith(f":{port}/  (append ?token= and what `{command}` prints)\n")
        assert token not in line
        assert get(port, "/?token=").status == 401
        assert get(port, f"/?token={token}").status == 303


def test_a_page_of_this_machine_opens_without_a_token(tmp_path: Path) -> None:
    with ExitStack() as held:
        line, port = printed(six(tmp_path / "run"), "127.0.0.1", held)
        assert line == f"page       http://127.0.0.1:{port}/\n"
        assert get(port, "/").status == 200
