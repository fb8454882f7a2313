"""A whole search that is logged everywhere, and what TensorBoard, MLflow and the others show."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from results.store import read_epochs, read_trials
from tests.results.page import browser

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def tracked(tiny_data, tmp_path_factory):
    """The folder of a search of two trials, gone on with for one more."""
    folder = tmp_path_factory.mktemp("tracked")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    environment |= {"PYTHONPATH": "", "WANDB_MODE": "offline"}

    def search(*more):
        done = subprocess.run(
            [sys.executable, "-m", "search.run", "--out", str(folder), *more],
            cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=550,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "goes on without it" not in done.stdout, done.stdout

    search(
        "--space", "demo", "--dataset", "tiny-imagenet", "--data", str(tiny_data.parent),
        "--name", "run", "--epochs", "2", "--grace", "2", "--precision", "float32",
        "--trials", "2", "--set", "batch_size=16", "image_size=32", "network=resnet10",
        "--tensorboard", "--mlflow", f"sqlite:///{folder}/mlflow.db", "--wandb", "anybody/anything",
    )  # fmt: skip
    search("--resume", "run", "--trials", "+1")
    return folder


def test_mlflow_has_each_trial_once_with_each_epoch_once(tracked):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tracked}/mlflow.db")
    experiment = client.get_experiment_by_name("run")
    assert experiment is not None
    runs = {each.info.run_name: each for each in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"trial-0000-baseline", "trial-0001", "trial-0002"}
    values = {}
    for number, name in enumerate(sorted(runs)):
        run = runs[name]
        assert run.info.status == "FINISHED"
        assert run.data.params["lr"] == str(read_trials(tracked / "run")[number].config["lr"])
        history = client.get_metric_history(run.info.run_id, "val_top1")
        values |= {(number, each.step): each.value for each in history}
        assert len(history) == 2
    assert values == {(n, m.epoch): m.val_top1 for n, m in read_epochs(tracked / "run")}


def test_weights_and_biases_has_each_trial_offline(tracked):
    files = sorted((tracked / "run" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 3
    for number, path in enumerate(sorted(files, key=lambda each: each.name[-12:])):
        assert path.name.endswith(f"-trial-{number:04d}.wandb")
        assert b"val_top1" in path.read_bytes()


@contextmanager
def served(folder, port, *words):
    """A server's address, once it answers."""
    said = folder / f"said-{port}.txt"
    address = f"http://127.0.0.1:{port}"
    with said.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(list(map(str, words)), stdout=file, stderr=file, cwd=folder)
    try:
        until = time.monotonic() + PATIENCE_S
        while not answers(address):
            assert process.poll() is None, said.read_text(encoding="utf-8")
            assert time.monotonic() < until, said.read_text(encoding="utf-8")
            time.sleep(0.5)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def answers(address):
    try:
        return urllib.request.urlopen(address, timeout=10).status == 200
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def text_of(address, folder, wanted, shot):
    """What a page says once all of `wanted` is there; its picture goes to `shot`."""

    async def look():
        async with browser.opened(folder / "none.html", folder / f"profile-{shot}") as page:
            await page.command("Page.navigate", url=address)
            for words in wanted:
                await page.wait_for(f"({DEEP})(document).includes({words!r})")
            await page.screenshot(folder / shot, height=900)
            return await page.evaluate(f"({DEEP})(document)")

    return asyncio.run(look())


DEEP = """function deep(node) {
  let found = "";
  for (const each of node.querySelectorAll("*")) {
    if (each.shadowRoot) found += deep(each.shadowRoot);
    for (const child of each.childNodes) if (child.nodeType === 3) found += child.data + "\\n";
    if (each.tagName === "INPUT") found += each.value + "\\n";
  }
  return found;
}"""
"""All texts of a page, also inside of its components."""


def test_tensorboard_shows_trials_and_what_they_reached(tracked):
    port = free_port()
    words = ["--logdir", tracked / "run" / "tensorboard", "--port", port, "--host", "127.0.0.1"]
    with served(tracked, port, BIN / "tensorboard", *words) as address:
        text = text_of(
            f"{address}/#timeseries", tracked, ["trial-0002", "val_top1"], "tensorboard.png"
        )
        assert "trial-0000-baseline" in text
        hparams = text_of(f"{address}/#hparams", tracked, ["best/val_top1"], "hparams.png")
        assert "lr" in hparams
    assert (tracked / "tensorboard.png").stat().st_size > 10_000


def test_optuna_dashboard_shows_the_study(tracked):
    port = free_port()
    journal = tracked / "run" / "journal.log"
    command = [BIN / "optuna-dashboard", "--port", port, "--host", "127.0.0.1", journal]
    with served(tracked, port, *command) as address:
        page = f"{address}/dashboard/studies/0/trials"
        shown = ["Trial 2", "Best Trial", "Intermediate Values", "label_smoothing"]
        text = text_of(page, tracked, shown, "optuna.png")
        assert re.search(r"Trial 0\b", text)
