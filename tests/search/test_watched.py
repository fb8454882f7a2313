"""A running search as others see it: Prometheus, and Ray's dashboard in a browser."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from results.store import read_trials
from search.monitoring.prometheus import METRICS
from search.security import loopback
from tests.results.page import browser

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 300.0

CONFIG = """
global: {{scrape_interval: 2s}}
scrape_configs:
- job_name: ray
  file_sd_configs:
  - files: ['{discovery}']
    refresh_interval: 2s
"""


NODE = """
    fetch('/nodes?view=summary').then(answer => answer.json())
    .then(all => fetch('/nodes/' + all.data.summary[0].raylet.nodeId))
    .then(answer => answer.text())
"""


def wait_for(condition, process, said):
    until = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert process.poll() is None, said.read_text(encoding="utf-8")
        assert time.monotonic() < until, said.read_text(encoding="utf-8")
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """The addresses of a search that waits, its baseline complete and another trial running."""
    directory = tmp_path_factory.mktemp("watched") / "run"
    said = directory.with_name("said.txt")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {"PYTHONPATH": "", "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "300"}
    # What `stay_on_this_machine` sets, which is too late once a worker's module has imported Ray.
    environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    with said.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.search.search_with_dashboard", str(directory)],
            cwd=ROOT, env=environment, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        epochs = directory / "epochs.jsonl"
        # 3 of the baseline, 2 each of two that a rung stops, 2 of the one that waits.
        wait_for(
            lambda: epochs.exists() and epochs.read_text(encoding="utf-8").count("\n") >= 9,
            process,
            said,
        )
        running = max(read_trials(directory))
        yield json.loads((directory / "open.json").read_text(encoding="utf-8")) | {
            "running": running
        }
        (directory / "enough").touch()
        assert process.wait(PATIENCE_S) == 0, said.read_text(encoding="utf-8")
    finally:
        process.kill()


@pytest.fixture(scope="module")
def prometheus(watched, tmp_path_factory):
    """The address of a Prometheus that follows Ray's own list of what there is to scrape."""
    program = shutil.which("prometheus")
    assert program, "these tests need Prometheus: apt-get install prometheus"
    folder = tmp_path_factory.mktemp("prometheus")
    discovery = Path(watched["session"]) / "prom_metrics_service_discovery.json"
    (folder / "prometheus.yml").write_text(CONFIG.format(discovery=discovery), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    said = folder / "said.txt"
    with said.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [program, "--config.file=prometheus.yml", "--storage.tsdb.path=data",
             f"--web.listen-address={address}"],
            cwd=folder,
            stdout=file, stderr=file,
        )  # fmt: skip
    try:
        wait_for(lambda: ready(address), process, said)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def ready(address):
    try:
        return urllib.request.urlopen(f"http://{address}/-/ready", timeout=5).status == 200
    except OSError:
        return False


def ask(address, path, **query):
    text = urllib.parse.urlencode(query)
    with urllib.request.urlopen(f"http://{address}/api/v1/{path}?{text}", timeout=30) as answer:
        return json.load(answer)["data"]


def test_prometheus_finds_what_is_known_of_the_search(prometheus):
    until = time.monotonic() + PATIENCE_S
    while True:  # Ray passes metrics on every ten seconds
        found = ask(prometheus, "query", query='{__name__=~"ray_search_.*"}')["result"]
        values = {}
        for each in found:
            labels = each["metric"]
            assert (labels["search"], labels["space"]) == ("watched", "made up")
            key = labels["__name__"].removeprefix("ray_")
            more = tuple(labels.get(name, "") for name in METRICS[key].labels)
            values[key, *more] = float(each["value"][1])
        if values.get(("search_epochs_trained",)) == 9:
            break
        assert time.monotonic() < until, values
        time.sleep(2)
    assert {name for name, *_ in values} == set(METRICS)
    assert values["search_best_val_top1_ratio",] == pytest.approx(0.6)
    assert values["search_trials", "complete", ""] == 1
    assert values["search_trials", "stopped", "rung"] == 2
    assert values["search_trials", "stopped", "overfitting"] == 0
    assert values["search_trials", "running", ""] == 1
    assert values["search_trials_planned",] == 4
    assert values["search_gap_max_ratio",] == pytest.approx(0.05)
    assert values["search_images_per_second",] == 100
    assert values["search_gpu_hours",] == 0  # its seat has no GPU
    assert values["search_gpu_busy_ratio",] == 0
    time.sleep(25)  # a value that nothing changes stays
    again = ask(prometheus, "query", query="ray_search_best_val_top1_ratio")["result"]
    assert [float(each["value"][1]) for each in again] == [pytest.approx(0.6)]


def test_every_question_of_the_dashboard_is_answered(prometheus):
    file = ROOT / "search/monitoring/grafana/search_grafana_dashboard.json"
    board = json.loads(file.read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    for text in asked:
        text = text.replace("$search", "watched").replace("$space", ".*")
        assert ask(prometheus, "query", query=text)["result"], text


def test_only_this_machine_is_scraped(prometheus):
    targets = ask(prometheus, "targets")["activeTargets"]
    hosts = {urllib.parse.urlsplit(each["scrapeUrl"]).hostname for each in targets}
    assert hosts
    assert all(map(loopback, hosts)), hosts


def test_ray_s_dashboard_names_trials(watched, tmp_path):
    token = subprocess.run(
        [str(Path(sys.executable).with_name("ray")), "get-auth-token"],
        capture_output=True, encoding="utf-8", check=True,
    ).stdout.strip()  # fmt: skip

    async def look():
        async with browser.opened(tmp_path / "nothing.html", tmp_path / "profile") as page:
            await enter(page, watched["dashboard"], token, "#/actors")
            await page.wait_for("document.body?.innerText.includes('MadeUpWorker')")
            worker = "run: a trial at a time on 1 thread"
            await page.wait_for(f"document.body?.innerText.includes({worker!r})")
            # What the page of a node would show of its workers, which doesn't open (ray 2.60.0).
            name = f"ray::trial-{watched['running']:04d}"
            await page.wait_for(f"{NODE}.then(told => told.includes({name!r}))")

    asyncio.run(look())


async def enter(page, address, token, where):
    """Opens the dashboard as somebody who has typed the token once."""
    await page.command(
        "Network.setCookie", url=address, name="ray-authentication-token", value=token
    )
    await page.command("Page.navigate", url=f"{address}/{where}")
