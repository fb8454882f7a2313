"""The RayJob's command, submitted to a real Ray cluster as KubeRay does: from another folder, with
the token in the environment.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
import yaml

from tests.drills.searches import PATIENCE_S, ROOT, epochs_in, search, wait_for

RAY = str(Path(sys.executable).parent / "ray")
PORT, DASHBOARD = 26379, 28265


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_the_command_runs_as_a_ray_job_and_then_says_that_it_is_done(
    tmp_path: Path, demo_data: Path
) -> None:
    _, job = yaml.safe_load_all(
        (ROOT / "docs/examples/kubernetes/rayjob.yaml").read_text(encoding="utf-8")
    )
    words = job["spec"]["entrypoint"].split()
    kept = [*words[: words.index("--space")], "--address", "auto"]
    options = [str(word) for word in search(tmp_path, demo_data, trials=2)[3:]]
    del options[options.index("--name") : options.index("--name") + 2]
    entrypoint = " ".join([*kept, *options])
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": "",
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16), "HOME": str(tmp_path),
    }  # fmt: skip
    start = [
        RAY, "start", "--head", "--block", "--disable-usage-stats", f"--port={PORT}",
        f"--dashboard-port={DASHBOARD}", "--num-cpus=2", f"--temp-dir={folder}",
        f"--object-store-memory={200 << 20}",
    ]  # fmt: skip
    with (tmp_path / "head").open("wb") as log:
        head = subprocess.Popen(start, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: "runtime started" in (tmp_path / "head").read_text("utf-8"), head)
        done, again = (submit(entrypoint, tmp_path, environment) for _ in range(2))
    finally:
        family = psutil.Process(head.pid).children(recursive=True)
        for each in (head, *family):
            each.kill()
        shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Written to" in done.stdout
    assert "nothing is left to train" in again.stdout
    epochs = epochs_in(tmp_path / "first")
    assert epochs >= 4
    print(f"as a Ray job: {epochs} epochs, then done at once")


def submit(
    entrypoint: str, folder: Path, environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    """The command line of KubeRay's submitter, in a shell."""
    return subprocess.run(
        ["bash", "-c", f"{RAY} job submit --address http://127.0.0.1:{DASHBOARD} -- {entrypoint}"],
        cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=PATIENCE_S,
    )  # fmt: skip
