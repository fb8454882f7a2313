"""Nobody from outside gets in unasked, and nobody without Ray's token."""

import os
import stat
from io import BytesIO
from pathlib import Path

import pytest

from search import security
from search.config.command_line import resolve
from search.security import (
    TokenError,
    asks_for_token,
    bypass_proxies,
    check_token,
    how_to_enter,
    how_to_enter_cluster,
    loopback,
    prepare_token,
    token_required,
)

OPEN = {"space": "demo", "dashboard_host": "0.0.0.0"}


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.7", False),
        ("", False),
        ("localhost.example.org", False),
    ],
)
def test_only_loopback_addresses_are_this_machine_s_own(host: str, alone: bool) -> None:
    assert loopback(host) is alone


@pytest.mark.parametrize(
    ("mode", "asks"), [(None, True), ("token", True), ("Token", True), ("disabled", False)]
)
def test_ray_asks_for_its_token_unless_told_not_to(mode: str | None, asks: bool) -> None:
    assert token_required({} if mode is None else {"RAY_AUTH_MODE": mode}) is asks


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "node-1"])
def test_a_dashboard_for_others_is_refused_without_the_token(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    _, errors = resolve(OPEN, {"dashboard_host": host})
    assert errors == [
        "--dashboard-host must be 127.0.0.1 while RAY_AUTH_MODE turns Ray's token off (unset it "
        f"to be reached), but got {host!r}."
    ]
    assert resolve({"space": "demo"})[1] == []
    assert how_to_enter() == "it asks for no token, because of RAY_AUTH_MODE"
    monkeypatch.delenv("RAY_AUTH_MODE")
    assert resolve(OPEN, {"dashboard_host": host})[1] == []
    assert "ray get-auth-token" in how_to_enter()


@pytest.mark.parametrize(
    ("answer", "asks", "said"),
    [
        ('{"authentication_mode": "token"}', True, "it asks for a token: type"),
        (
            '{"authentication_mode": "disabled"}',
            False,
            "anyone who reaches it over the network can",
        ),
        ("<html>", None, "where it asks for a token"),
    ],
)
def test_a_cluster_is_asked_whether_it_wants_a_token(
    answer: str, asks: bool | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        security._DIRECT,
        "open",
        lambda url, timeout: (asked.append(url), BytesIO(answer.encode()))[1],
    )
    assert asks_for_token("10.0.0.1:8265") is asks
    assert said in how_to_enter_cluster("10.0.0.1:8265")
    assert set(asked) == {"http://10.0.0.1:8265/api/authentication_mode"}


def test_a_cluster_without_a_dashboard_is_not_asked() -> None:
    assert asks_for_token("") is None


def modes(path: Path) -> list[int]:
    """The modes of a file and of its folder."""
    return [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)]


def test_the_token_is_made_where_only_its_owner_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At no moment can others read it, whatever the umask."""
    environment, path = {"HOME": str(tmp_path)}, tmp_path / ".ray" / "auth_token"
    seen, make, before = list[int](), os.open, os.umask(0)

    def watch(name: Path, flags: int, mode: int = 0o777) -> int:
        made = make(name, flags, mode)
        seen.append(stat.S_IMODE(os.fstat(made).st_mode))
        return made

    try:
        monkeypatch.setattr(os, "open", watch)
        prepare_token(tmp_path / "spare", environment)
        monkeypatch.setattr(os, "open", make)
    finally:
        os.umask(before)
    assert seen == [0o600]
    assert modes(path) == [0o600, 0o700]
    assert len(path.read_text(encoding="ascii")) == 64
    assert [each.name for each in path.parent.iterdir()] == ["auth_token"]
    assert environment == {"HOME": str(tmp_path)}
    token = path.read_bytes()
    prepare_token(tmp_path / "spare", environment)
    assert path.read_bytes() == token
    assert not (tmp_path / "spare").exists()


def test_a_token_that_others_can_read_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret", encoding="ascii")
    path.chmod(0o644)
    check_token({"RAY_AUTH_TOKEN_PATH": str(path)})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text(encoding="ascii") == "secret"


@pytest.mark.parametrize("home", [None, "/proc/nowhere", "/dev/null"])
def test_without_a_home_the_token_goes_elsewhere(tmp_path: Path, home: str | None) -> None:
    environment = {"HOME": home} if home else {}
    spare = tmp_path / "auth_token"
    prepare_token(spare, environment)
    assert stat.S_IMODE(spare.stat().st_mode) == 0o600
    assert environment["RAY_AUTH_TOKEN_PATH"] == str(spare)
    assert how_to_enter(environment) == (
        f"it asks for a token: type `RAY_AUTH_TOKEN_PATH={spare} ray get-auth-token`"
    )


@pytest.mark.parametrize(
    "environment", [{"RAY_AUTH_TOKEN": "known"}, {"RAY_AUTH_MODE": "disabled"}]
)
def test_no_token_is_made_where_none_is_read(tmp_path: Path, environment: dict[str, str]) -> None:
    prepare_token(tmp_path / "spare", environment | {"HOME": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_asked_for_is_made_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "new" / "token"
    prepare_token(tmp_path / "spare", {"RAY_AUTH_TOKEN_PATH": str(path)})
    assert modes(path) == [0o600, 0o700]
    with pytest.raises(TokenError, match="but /proc/nowhere/token can't be made; remove it, or"):
        prepare_token(tmp_path / "spare", {"RAY_AUTH_TOKEN_PATH": "/proc/nowhere/token"})


def test_proxies_don_t_come_between_processes_of_this_machine() -> None:
    alone = {"PATH": "/bin"}
    bypass_proxies(alone)
    assert alone == {"PATH": "/bin"}
    behind = {"https_proxy": "http://10.0.0.9:3128", "NO_PROXY": "example.org,localhost"}
    bypass_proxies(behind)
    assert behind["no_proxy"] == behind["NO_PROXY"] == "example.org,localhost,127.0.0.1,::1"
