"""Who may see a run's page: its token, its cookie, and the names by which it is asked for."""

from pathlib import Path

import pytest

from results.live.serve import listen
from results.live.server import PageServer
from tests.results.example_search import six
from tests.results.live.served import served


def test_a_foreign_name_that_leads_here_sees_nothing(tmp_path: Path) -> None:
    with served(six(tmp_path / "run")) as get:
        for name in ("localhost:1", "127.0.0.1", "[::1]:80"):
            assert get("/version", Host=name)[0] == 200
        for name in ("evil.example", "localhost.evil.example", ""):
            assert get("/version", Host=name)[0] == 403


def test_a_token_opens_the_page_and_then_a_cookie_does(tmp_path: Path) -> None:
    with served(six(tmp_path / "run"), "s3cret") as get:
        for path in ("/", "/version", "/trial/1", "/plotly.js", "/?token=wrong", "/?token="):
            assert get(path)[0] == 401
        status, headers, _ = get("/trial/1?token=s3cret")
        assert (status, headers["Location"]) == (303, "/trial/1")
        cookie = headers["Set-Cookie"].split(";")
        assert cookie[1:] == [" Path=/", " HttpOnly", " SameSite=Lax"]
        assert get("/version", Cookie=cookie[0])[0] == 200
        assert get("/version", Authorization="Bearer s3cret")[0] == 200
        for sent in ("s3cret", "Basic s3cret", "Bearer", "Bearer ", "Bearer wrong"):
            assert get("/version", Authorization=sent)[0] == 401


def test_the_cookie_is_no_token(tmp_path: Path) -> None:
    """A browser sends it to all ports of the host: it opens this page alone, and the token opens
    Ray too.
    """
    run = six(tmp_path / "run")
    with served(run, "s3cret") as get, served(run, "s3cret") as other:
        cookies = [ask("/?token=s3cret")[1]["Set-Cookie"].split(";")[0] for ask in (get, other)]
        names, values = zip(*(each.split("=") for each in cookies), strict=True)
        assert names == tuple(f"run-page-{ask.address[1]}" for ask in (get, other))
        assert all(len(each) > 40 and "s3cret" not in each for each in values)
        assert values[0] != values[1]
        for sent in (f"{names[0]}=s3cret", f"{names[0]}={values[1]}", f"{names[1]}={values[0]}"):
            assert get("/version", Cookie=sent)[0] == 401
        assert get(f"/version?token={values[0]}")[0] == 401
        assert get("/version", Authorization=f"Bearer {values[0]}")[0] == 401
        # Both pages, and whatever else the host's servers have set, come in one header.
        both = "; ".join(['a/b={"x": "y"}', "=", "odd", *cookies, "last=1"])
        assert [ask("/version", Cookie=both)[0] for ask in (get, other)] == [200, 200]


@pytest.mark.parametrize(
    "path", ["/\\evil.example", "//evil.example", "http://evil.example//evil.example", "/version"]
)
def test_the_token_leads_to_no_other_place(tmp_path: Path, path: str) -> None:
    with served(six(tmp_path / "run"), "s3cret") as get:
        status, headers, _ = get(f"{path}?token=s3cret", Host="localhost")
        assert (status, headers["Location"]) == (303, "/")


def test_what_others_can_reach_is_never_without_a_token(tmp_path: Path) -> None:
    with listen("0.0.0.0", 0) as listening:
        for token in (None, ""):
            with pytest.raises(AssertionError):
                PageServer(listening, tmp_path, token)


def test_odd_requests_are_refused_in_order(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with served(six(tmp_path / "run")) as get:
        assert get("/version", Host="[")[0] == 403
        assert get("http://[/", Host="localhost")[0] == 400
        assert get("/version?trial=x")[0] == 200
    assert capfd.readouterr().err == ""


def test_no_other_site_may_use_the_pages(tmp_path: Path) -> None:
    with served(six(tmp_path / "run")) as get:
        for path in ("/", "/plotly.js", "/trial/1", "/nowhere"):
            headers = get(path)[1]
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert "Python" not in headers["Server"]
