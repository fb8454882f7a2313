"""Nobody from outside gets in unasked, and nobody without Ray's token."""

import stat
from io import BytesIO

import pytest

from search import security
from search.config.command_line import resolve
from search.security import (
    asks_for_token,
    how_to_enter,
    how_to_enter_cluster,
    keep_token_private,
    loopback,
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
        security, "urlopen", lambda url, timeout: (asked.append(url), BytesIO(answer.encode()))[1]
    )
    assert asks_for_token("10.0.0.1:8265") is asks
    assert said in how_to_enter_cluster("10.0.0.1:8265")
    assert set(asked) == {"http://10.0.0.1:8265/api/authentication_mode"}


def test_a_cluster_without_a_dashboard_is_not_asked() -> None:
    assert asks_for_token("") is None


def test_the_token_is_its_owner_s_alone(tmp_path, monkeypatch) -> None:
    path = tmp_path / "auth_token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    keep_token_private()  # there is none yet
    path.write_text("secret", encoding="utf-8")
    path.chmod(0o644)
    keep_token_private()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
