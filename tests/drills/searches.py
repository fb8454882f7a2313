"""What the drills share: searches on the demo's images, their processes, and what they leave."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": ""}
PATIENCE_S = 900.0
"""For one search, or one condition, on a busy machine."""

LEFT = {
    "manifest.json", "journal.log", "epochs.jsonl", "trials.jsonl", "best.yaml", "report.html",
    ".lock", "space",
}  # fmt: skip
"""What a finished run consists of."""


def search(
    out: Path, data: Path, *more: str, trials: int = 5, log: Path | None = None
) -> list[str]:
    """The command of a small search, by one worker; with `log`, as `logged_search` runs it.

    An epoch takes about a second on one core.
    """
    module = ["tests.search.search_with_epoch_log", str(log), "0"] if log else ["search.run"]
    return [
        sys.executable, "-m", *module, "--space", "demo", "--data", str(data), "--out", str(out),
        "--name", "run", "--trials", str(trials), "--epochs", "4", "--grace", "1",
        "--concurrency", "1", "--precision", "float32",
        "--set", "batch_size=64", "image_size=32", *more,
    ]  # fmt: skip


def resume(out: Path, *more: str, log: Path | None = None) -> list[str]:
    """The command by which that search goes on."""
    module = ["tests.search.search_with_epoch_log", str(log), "0"] if log else ["search.run"]
    return [sys.executable, "-m", *module, "--resume", "run", "--out", str(out), *more]


def start(command: Sequence[str]) -> subprocess.Popen[str]:
    """A process that leads a group, as what a terminal starts does."""
    return subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", start_new_session=True,
    )  # fmt: skip


def run(command: Sequence[str]) -> str:
    """What a command that goes well prints."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[Any]) -> None:
    """Until it holds, while the process lives."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "what was waited for hasn't come"
        time.sleep(0.05)


def epochs_in(directory: Path) -> int:
    """How many epochs a run has recorded."""
    path = directory / "epochs.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """A process and what it has started, Ray's among them."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    return []


def survivors(processes: Sequence[psutil.Process], wait_s: float = 300.0) -> list[str]:
    """The command lines of those that are still there after a while.

    Ray's agents take more than a minute to see that they are alone.
    """
    _, alive = psutil.wait_procs(list(processes), timeout=wait_s)
    found = []
    for each in alive:
        with suppress(psutil.Error):
            if each.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(each.cmdline()))
    return found


def best(directory: Path) -> dict[str, Any]:
    """A run's best.yaml, without what tells of its circumstances."""
    value = yaml.safe_load((directory / "best.yaml").read_text(encoding="utf-8"))
    return {key: item for key, item in value.items() if key not in ("provenance", "sha256", "mac")}
