"""The GPUs that Ray's processes see, on a real Ray that is told of GPUs which aren't here."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

SEATED = """
import json, os, signal, sys, time
from pathlib import Path
import ray
from search.hardware.allocation import Resources
from search.ray_backend.local_ray import Dashboard, reserve_port, start_ray, stop_ray
from search.ray_backend.ray_cluster import submit
from search.ray_backend.task import Placement
from search.ray_backend.worker import show_gpu
from tests.search.hardware.faked_gpus import gpus

per_gpu, names = int(sys.argv[1]), sys.argv[2:]
ids = [f"MIG-{name}" for name in names]
there = [type(gpu)(id=id, name=gpu.name, mig=True) for id, gpu in zip(ids, gpus(*names))]
kind = Resources(concurrent=per_gpu * len(ids) + 2, threads=1, why="", per_gpu=per_gpu)
with reserve_port(Dashboard(host="127.0.0.1", port="auto")) as port:
    start_ray(kind, port, Path.cwd(), None, there)


class Worker:
    def __init__(self, share):
        show_gpu(Placement(threads=1, gpus=share), os.environ)

    def seen(self):
        return os.environ["CUDA_VISIBLE_DEVICES"], os.environ["PYTHONPATH"]


def make(share):
    return ray.remote(Worker).options(num_cpus=0.1, num_gpus=share).remote(share)


workers = [make(kind.gpus) for _ in range(per_gpu * len(ids))]
seen = ray.get([worker.seen.remote() for worker in workers])
one_more = make(kind.gpus)
ready, waiting = ray.wait([one_more.seen.remote()], timeout=3)
cores = Resources(concurrent=1, threads=1, why="")
there = [submit(cores, os.getenv, "CUDA_VISIBLE_DEVICES").result(), make(0.0)]
died = submit(cores, signal.raise_signal, signal.SIGKILL).exception()
found = {
    "gpus": ray.cluster_resources()["GPU"], "seen": [visible for visible, _ in seen],
    "path": seen[0][1], "waits": len(waiting), "task": there[0],
    "cores": ray.get(there[1].seen.remote())[0], "driver": os.environ["CUDA_VISIBLE_DEVICES"],
    "died": repr(died),
}
stop_ray()
print(json.dumps(found))
"""


@pytest.mark.slow
def test_so_many_trials_as_planned_sit_on_each_gpu_and_those_on_cores_see_none(
    tmp_path: Path,
) -> None:
    """Ray has no NVML here, and each slice is a GPU to it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {"CUDA_VISIBLE_DEVICES": "MIG-gone,MIG-a,MIG-b", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", SEATED, "3", "a", "b"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["gpus"] == 2
    assert Counter(found["seen"]) == {"MIG-a": 3, "MIG-b": 3}
    assert found["waits"] == 1
    assert found["died"].startswith("BrokenExecutor('The worker died unexpectedly")
    assert found["task"] == found["cores"] == ""
    assert found["driver"] == environment["CUDA_VISIBLE_DEVICES"]
    assert found["path"] == f"{ROOT}{os.pathsep}{tmp_path}"
