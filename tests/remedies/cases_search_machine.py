"""Errors about what is installed, about Ray, and about workers. No case starts Ray."""

import errno
import os
import shlex
import subprocess
import sys
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray.exceptions import WorkerCrashedError
from ray.tune.experiment import Trial

from search import preflight
from search.config.command_line import parse, resolve
from search.hardware import probe
from search.hardware.machine import Machine
from search.planning.resources import allocate_resources
from search.preflight import ROOT
from search.ray_backend import trackers, worker
from search.ray_backend.ray_cluster import report_death
from search.ray_backend.scheduler import StudyScheduler
from search.ray_backend.slots import Slots
from search.ray_backend.watchdog import Watchdog
from search.session.gpu_allocation import allocate_gpus
from search.session.startup import ask_gpu
from search.study.observer import Observer
from tests.remedies.harness import Attempt, Command, CommandError, Steps, case
from tests.remedies.searches import check_setup, copy_run, plan_search
from tests.search.hardware.faked_gpus import gpus as faked_gpus
from tests.search.ray_backend.test_failures import ONE, RayTrial, failed, supervise
from tests.search.session_on_curves import planned
from tests.search.study_on_curves import metrics, open_study
from tests.search.tasks import make_task, task_of
from trainables.config import TrialConfig
from trainables.models.network import build
from trainables.profiling import gpu_memory
from trainables.profiling.gpu_need import GpuNeed

PREFLIGHT = "search/preflight.py"
INSTALLS = "a test installs nothing; it checks that the commands exist"


@case(f"{PREFLIGHT}::_python_error", "Python must be", f"{PREFLIGHT}::check", "PreflightError",
      beyond=INSTALLS)  # fmt: skip
def an_old_python(monkeypatch: pytest.MonkeyPatch) -> Steps:
    monkeypatch.setattr(preflight, "OLDEST_PYTHON", (99,))
    refusal = yield preflight.check
    check_setup(refusal)


@case(
    f"{PREFLIGHT}::_dependency_errors", "Python packages must be installed",
    f"{PREFLIGHT}::_requirement_errors", "must be {}, but",
    f"{PREFLIGHT}::_requirement_errors", "must be installed as",
    f"{PREFLIGHT}::_torchvision_errors", "torch's release and build",
    f"{PREFLIGHT}::_build_errors", "to build ffcv",
    f"{PREFLIGHT}::check", "PreflightError",
    beyond=INSTALLS,
)  # fmt: skip
def packages_that_are_missing_or_others(monkeypatch: pytest.MonkeyPatch) -> Steps:
    found = {"rich": None, "ffcv": None, "torchvision": "0.1.0", "aiohttp": None}
    version, installed = preflight._version, preflight.metadata.version
    read_anew = preflight._dependency_errors.__wrapped__  # type: ignore[attr-defined]
    monkeypatch.setattr(preflight, "_dependency_errors", read_anew)
    monkeypatch.setattr(preflight, "_version", lambda name: found.get(name, version(name)))
    monkeypatch.setattr(
        preflight.metadata, "version", lambda name: "0.1" if name == "pyarrow" else installed(name)
    )
    monkeypatch.setattr(preflight.shutil, "which", lambda name: None)
    refusal = yield preflight.check
    check_setup(refusal)
    assert "ray must be installed as ray[default], but aiohttp is missing" in refusal.text
    assert Path(refusal.find(r"then start with (\S+/python)[;.]")).exists()


@case(f"{PREFLIGHT}::_ffcv_errors", "ffcv must be loadable", beyond=INSTALLS)
def an_ffcv_for_other_libraries(monkeypatch: pytest.MonkeyPatch) -> Steps:
    def refuse(path: str) -> None:
        raise OSError("libopencv_core.so.4.5: cannot open shared object file")

    monkeypatch.setattr(preflight.ctypes, "CDLL", refuse)
    refusal = yield preflight.check
    pip, version = ROOT / refusal.find(r"type `(\S+)"), refusal.find(r"ffcv==(\S+)`")
    assert pip.exists()
    assert f'"ffcv=={version}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@case(f"{PREFLIGHT}::foreign_packages", "must be the folder in")
def another_project_s_packages(tmp_path: Path) -> Steps:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").touch()
    refusal = yield check_from(tmp_path, PYTHONPATH=str(ROOT))
    assert f"Python finds {tmp_path / 'datasets'}" in refusal.text
    return check_from(Path(refusal.find(r"; start from (\S+) with")), PYTHONPATH="")


def check_from(folder: Path, **environment: str) -> Attempt:
    """Returns an attempt that checks the machine from a folder, in a process of its own."""

    def attempt() -> None:
        command = [sys.executable, "-m", "search.preflight"]
        done = subprocess.run(
            command, cwd=folder, env=os.environ | environment, capture_output=True, text=True,
            encoding="utf-8", check=False,
        )  # fmt: skip
        if done.returncode:
            raise CommandError(done.stderr)

    return attempt


FULL_DISK = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@case("search/ray_backend/scheduler.py::on_trial_error", "RunError(found.refusal)")
def a_trial_on_a_full_disk(tmp_path: Path) -> Steps:
    study = open_study(tmp_path / "run", trials=3)
    scheduler = StudyScheduler(supervise(study), Observer(), Watchdog(0.0), Slots(ONE))
    proposal = study.ask()
    assert proposal
    sentence = (
        "The disk that holds runs/a is full; free some space there, then go on with --resume "
        "runs/a: all that was recorded is kept."
    )
    error = f"  g()\nsearch.ray_backend.worker.TrialDiskError: {sentence}\n"
    trial: Any = RayTrial(
        config=task_of(proposal).to_ray(), num_failures=0, max_failures=0, status=Trial.ERROR,
        error_file=failed(tmp_path, error).error_file,
    )  # fmt: skip
    refusal = yield lambda: scheduler.on_trial_error(None, trial)  # type: ignore[arg-type]
    study.store.close()  # type: ignore[attr-defined]
    assert refusal.text == sentence

    def go_on() -> None:
        again = open_study(tmp_path / "run", trials=3)
        assert again.ask() == proposal
        again.store.close()  # type: ignore[attr-defined]

    return go_on


@case("search/ray_backend/worker.py::_train_epoch", "TrialDiskError")
def a_checkpoint_on_a_full_disk(
    tmp_path: Path, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    run = copy_run(searched, tmp_path)
    full = [FULL_DISK]

    def train(task: object, log: object) -> Any:
        for error in full:
            raise error
        yield metrics(1, 0.5)

    monkeypatch.setattr(worker, "train_epochs", train)
    task = make_task(3, checkpoint=run / "checkpoints" / "0003.pt")

    def step() -> None:
        trainable = worker.TrialWorker.__new__(worker.TrialWorker)
        trainable.setup(task.to_ray())
        trainable.step()

    refusal = yield step
    assert "free some space there" in refusal.text
    full.clear()
    resumed = refusal.find(r"go on with --resume (\S+):")
    Command("search.run", "--resume", resumed, "--dry-run")()


@case("search/ray_backend/worker.py::setup", "PreflightError(wrong)")
def a_worker_that_would_import_others(monkeypatch: pytest.MonkeyPatch) -> Steps:
    def set_up() -> None:
        worker.TrialWorker.__new__(worker.TrialWorker).setup(make_task().to_ray())

    root = Path("/nowhere")
    with monkeypatch.context() as patch:
        patch.setattr(worker, "ROOT", root)
        refusal = yield set_up
    assert f"start from {root} with" in refusal.text
    return set_up


@case("search/ray_backend/trackers.py::open_loggers", "check it, or pass")
def a_tracker_that_isn_t_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    def fail(*_: object) -> None:
        raise ConnectionError("Connection refused")

    def connect(address: str) -> Attempt:
        return lambda: trackers.open_loggers(address, "", "first", tmp_path)

    monkeypatch.setattr(trackers, "_mlflow", fail)
    refusal = yield connect("http://localhost:5000")
    assert "--mlflow http://localhost:5000 can't be used (ConnectionError: " in refusal.text
    given, _ = parse(shlex.split(refusal.find(r"or pass (--mlflow .*)\.$")))
    options, _ = resolve({"mlflow": "http://localhost:5000"}, given)  # as a run has recorded it
    connect(options.mlflow)()
    monkeypatch.setattr(trackers, "_mlflow", lambda *_: SimpleNamespace(setup=lambda: None))


PROBE = "search/hardware/probe.py"


@case(f"{PROBE}::check_start", "ProbeError(str(error))")
def a_network_that_isn_t_known() -> Steps:
    config = TrialConfig(network="timm:convnext_atom", freeze_depth=0)
    refusal = yield lambda: probe.check_start(config)
    network = refusal.find(r"did you mean (\S+)\?")
    return lambda: probe.check_start(config.but(network=network))


CHECKS = "search/session/checks.py"


@case(f"{CHECKS}::check_start", "SearchError(list", f"{CHECKS}::check_network", "ProbeError")
def weights_and_a_batch_that_do_not_fit(tmp_path: Path, one_torch_process: None) -> Steps:
    weights, fields = tmp_path / "weights.pt", ("--set", "stem=imagenet", "image_size=32")
    weights.write_bytes(b"none")
    command = plan_search(tmp_path, "--weights", weights, *fields, "batch_size=9999")
    refusal = yield command
    assert len(refusal.text.splitlines()) == 2
    config = TrialConfig(network="resnet10", stem="imagenet", image_size=32)
    torch.save(build(config, 20).state_dict(), weights)  # «save `model.state_dict()` alone»
    most = refusal.find(r"≤ the (\d+) training")
    return command.replace("batch_size=9999", f"batch_size={most}")


LARGE = TrialConfig(network="resnet10", image_size=128, batch_size=64, precision="float32")


@case(f"{PROBE}::measure_gpu", "One trial must fit on a GPU")
def a_trial_that_doesn_t_fit_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Steps:
    def need(config: TrialConfig, device: object, **_: bool) -> GpuNeed:
        if config.image_size > 64:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return GpuNeed(needed_bytes=1 << 30, free_bytes=8 << 30, micro_batch_size=None)

    monkeypatch.setattr(gpu_memory, "measure_need", need)
    refusal = yield lambda: probe.measure_gpu(LARGE, freezes=False, captured=False)
    field = refusal.find(r"lower (\w+) with --set")
    options, errors = resolve({"set": [f"{field}=64"], "space": "demo"})
    assert (errors, len(options.set)) == ([], 1)
    return lambda: probe.measure_gpu(LARGE.but(**{field: 64}), freezes=False, captured=False)


@case(f"{PROBE}::_refuse", "but doesn't (", beyond="no driver is at fault here")
def a_gpu_that_computes_nothing(monkeypatch: pytest.MonkeyPatch) -> Steps:
    def need(config: TrialConfig, device: object, **_: bool) -> GpuNeed:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    monkeypatch.setattr(gpu_memory, "measure_need", need)
    refusal = yield lambda: probe.measure_gpu(LARGE, freezes=False, captured=False)
    asked = refusal.options("--gpus-per-trial")
    options, errors = resolve({"space": "demo"}, parse(list(asked))[0])
    assert (errors, options.gpus_per_trial) == ([], "0")


@case("search/session/startup.py::result_of", "the one that tried has died")
def a_process_that_dies_on_a_gpu(tmp_path: Path, tiny_data: Path) -> Steps:
    plan = planned(tmp_path, tiny_data, {}, name="run", trials=3)

    def divide(gpus_per_trial: str) -> Attempt:
        options = replace(plan.options, gpus_per_trial=gpus_per_trial)
        here = Machine(cpus=8, memory_bytes=64 << 30, gpus=faked_gpus("L4"))
        shared = allocate_resources(options, here, None, 1 << 30)
        there = replace(plan, options=options, machine=here, resources=shared)
        return lambda: allocate_gpus(there, "float32", print, Dying(), images=9, anew=False)  # type: ignore[arg-type]

    refusal = yield divide("auto")
    return divide(refusal.options("--gpus-per-trial")[1])


@case("search/session/startup.py::result_of", "the one that tried has died")
def a_process_that_dies_on_a_gpu_of_a_node(tmp_path: Path, tiny_data: Path) -> Steps:
    """Nothing is measured for trials on cores, where the search goes on."""
    plan = planned(tmp_path, tiny_data, {}, name="run", trials=3)
    gpu = replace(plan, resources=replace(plan.resources, per_gpu=1))
    refusal = yield lambda: ask_gpu(gpu, Dying(WorkerCrashedError()), abs, 1)  # type: ignore[arg-type]
    assert "must be able to train on a GPU of the cluster" in refusal.text
    options, errors = resolve(
        {"space": "demo"}, parse(list(refusal.options("--gpus-per-trial")))[0]
    )
    cores = allocate_resources(options, plan.machine, None, 1 << 30)
    assert (errors, cores.per_gpu) == ([], 0)
    return lambda: allocate_gpus(
        replace(plan, resources=cores),
        "float32",
        print,
        Dying(),
        images=9,  # type: ignore[arg-type]
    )  # type: ignore[arg-type]


class Dying:
    """Stands for a process that a driver's error has killed, here or on a node."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error or BrokenProcessPool("terminated abruptly")

    def submit(self, *_: object, **__: object) -> "Future[object]":
        future: Future[object] = Future()
        future.set_exception(self._error)
        return report_death(future)
