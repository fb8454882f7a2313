"""The server of a run's pages: what it sends, to whom, and when there is something new."""

import gzip
import http.client
import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from results.live.serve import PageError, is_loopback, listen, serve, url_of
from results.live.server import POLICY, PageServer
from results.overview.annotations import annotate
from results.records import TrainingId, TrialState
from results.store import RunStore, traceback_path
from tests.results.example_run import Made, make_run
from tests.results.example_search import ADAMW, MANIFEST, RANGES, SIX, six
from tests.results.live.served import served
from tests.search.study_on_curves import metrics

ROOT = Path(__file__).parents[3]


def test_the_page_is_the_report_that_updates_itself(tmp_path: Path) -> None:
    with served(six(tmp_path / "run")) as get:
        status, headers, text = get("/")
        assert (status, headers["Content-Security-Policy"]) == (200, POLICY)
        assert "Trial 2 reaches 55.0 % on val" in text
        assert re.findall(r'<a href="(trial/\d)">', text) == [
            f"trial/{number}" for number in (2, 0, 5, 1, 3, 4)
        ]
        assert '<script src="plotly.js"></script>' in text
        assert len(text) < 200_000  # Plotly comes once, and stays in the browser
        status, headers, text = get("/plotly.js")
        assert (status, headers["Cache-Control"]) == (200, "private, max-age=86400")
        assert len(text) > 1_000_000


def test_what_is_new_changes_the_version(tmp_path: Path) -> None:
    running = Made(params=ADAMW, values=[0.15], state=TrialState.RUNNING)
    run = make_run(tmp_path / "run", RANGES, [*SIX[:5], running], 4, MANIFEST)
    with served(run) as get:

        def asked() -> dict[str, Any]:
            return dict(json.loads(get("/version")[2]))

        first = asked()
        assert asked() == first
        assert first["searching"] is False
        store = RunStore(run)
        second = asked()
        assert second["searching"] is True
        assert second["version"] != first["version"]
        store.add_epoch(5, metrics(2, 0.9))
        third = asked()
        assert third["version"] != second["version"]
        store.close()
        assert "Trial 5 reaches 90.0 % on val" in get("/")[2]
        assert asked()["version"] != third["version"]  # the page was rendered just before
        seen = asked()["version"]
        annotate(run, note="seen")
        assert asked()["version"] == seen  # not before it may be rendered again


def test_each_trial_has_a_page(tmp_path: Path) -> None:
    run = six(tmp_path / "run")
    error = traceback_path(run, TrainingId(4))
    error.parent.mkdir()
    error.write_text("RuntimeError: <b>no CUDA</b> https://u:secret@host/\n", encoding="utf-8")
    with served(run) as get:
        status, _, text = get("/trial/2")
        assert status == 200
        assert "<h1>Trial 2, the best</h1>" in text
        assert "rank 1 of 6" in text
        assert re.findall(r'href="(\d)">trial', text) == ["1", "3"]
        assert re.findall(r"<tr><th>(\w+)</th><td>([^<]*)</td>", text)[:2] == [
            ("lr", "0.0001"), ("optimizer", "adamw"),
        ]  # fmt: skip
        epochs = re.findall(r"<tr><td>(\d)</td>", text)
        assert epochs == ["1", "2", "3", "4"]
        figures = json.loads(text.split('id="data-figures">')[1].split("</script>")[0])
        assert list(figures) == ["accuracy", "loss", "rate", "speed", "time"]
        assert figures["accuracy"]["data"][0]["y"] == [0.25, 0.4, 0.5, 0.55]
        failed = get("/trial/4")[2]
        assert "failed: no CUDA" in failed
        assert "RuntimeError: &lt;b&gt;no CUDA&lt;/b&gt;" in failed
        assert "secret" not in failed
        status, _, missing = get("/trial/6")
        assert (status, "has no trial 6 yet" in missing) == (404, True)


@pytest.mark.parametrize(
    "path", ["/trial/", "/trial/x", "/trial/-1", "/trial/9999999999", "/manifest.json",
             "/../manifest.json", "/%2e%2e/manifest.json", "//etc/passwd", "/best.yaml"],
)  # fmt: skip
def test_nothing_else_is_sent(tmp_path: Path, path: str) -> None:
    with served(six(tmp_path / "run")) as get:
        assert get(path)[0] == 404


def test_only_reading_is_answered(tmp_path: Path) -> None:
    with served(six(tmp_path / "run")) as get:
        status, headers, text = get("/", "HEAD")
        assert (status, text) == (200, "")
        assert int(headers["Content-Length"]) > 1000
        assert [get("/", method)[0] for method in ("POST", "PUT", "DELETE")] == [501] * 3


def test_an_answer_is_packed_for_those_who_can_unpack_it(tmp_path: Path) -> None:
    with served(six(tmp_path / "run")) as get:
        plain, packed = get("/", raw=True), get("/", raw=True, Accept_Encoding="br, gzip")
        assert "Content-Encoding" not in plain[1]
        assert packed[1]["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed[2]) == plain[2]
        assert len(packed[2]) < len(plain[2]) / 3


def test_a_run_that_hasnt_begun_asks_again(tmp_path: Path) -> None:
    make_run(tmp_path / "run", RANGES, [], 4, MANIFEST)
    with served(tmp_path / "run") as get:
        status, _, text = get("/")
        assert status == 200
        assert 'http-equiv="refresh" content="2"' in text
        assert "has no trial yet" in text
    with served(tmp_path / "not there") as get:
        assert "is not a run" in get("/")[2]


def test_the_server_of_a_search_ends_with_it(tmp_path: Path) -> None:
    """Also when the search is killed: the system closes what it wrote to."""
    with listen("127.0.0.1", 0) as listening:
        address = listening.getsockname()
        process = subprocess.Popen(
            [sys.executable, "-m", "results.live.serve", str(six(tmp_path / "run")),
             str(listening.fileno())],
            cwd=ROOT, stdin=subprocess.PIPE, pass_fds=[listening.fileno()], encoding="utf-8",
        )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write("t0ken\n")
    process.stdin.flush()
    try:
        connection = http.client.HTTPConnection(*address, timeout=60)
        connection.request("GET", "/version", headers={"Authorization": "Bearer t0ken"})
        assert connection.getresponse().status == 200
    finally:
        process.stdin.close()
    assert process.wait(timeout=60) == 0


def test_a_taken_port_is_refused() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PageError, match=f"--page-port must be free .* {port} at 127.0.0.1"):
            listen("127.0.0.1", port, "--page-port")
    with pytest.raises(PageError, match="choose another one"):
        listen("192.0.2.1", 0)  # an address of nobody's (RFC 5737)


def test_an_address_names_a_host_that_a_browser_can_ask() -> None:
    with listen("0.0.0.0", 0) as everywhere, listen("127.0.0.1", 0) as here:
        assert (is_loopback(everywhere), is_loopback(here)) == (False, True)
        port = everywhere.getsockname()[1]
        assert url_of(everywhere, "abc") == f"http://{socket.gethostname()}:{port}/?token=abc"
        assert url_of(here) == f"http://127.0.0.1:{here.getsockname()[1]}/"


def test_serve_closes_its_socket_when_it_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: PageServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PageServer, "serve_forever", interrupt)
    listening = listen("127.0.0.1", 0)
    with pytest.raises(KeyboardInterrupt):
        serve(tmp_path, listening, None)
    assert listening.fileno() == -1
