"""Errors about ports, Ray, and clusters. No case starts Ray."""

import os
import resource
import socket
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from common.allowance import Allowance
from common.errors import SearchError
from common.private_folder import PrivateFolder
from search.config.command_line import parse, resolve
from search.hardware import process_limits
from search.hardware.gpus import GpuSurvey
from search.hardware.machine import Machine, Node
from search.planning.option_errors import find_gpu_errors
from search.preflight import ROOT
from search.ray_backend import local_ray, node_check, ray_cluster
from search.ray_backend.local_ray import Dashboard, reserve_port
from search.security import prepare_token
from tests.remedies.harness import Attempt, Refusal, Steps, case
from tests.remedies.searches import check_setup, plan_search
from tests.search.hardware.faked_gpus import gpus as faked_gpus
from tests.search.ray_backend.test_failures import ONE

RESERVE = "search/ray_backend/local_ray.py::reserve_port"


def dashboard(port: object) -> Attempt:
    return lambda: reserve_port(Dashboard(host="127.0.0.1", port=str(port))).close()


@case(RESERVE, "choose another, or auto")
def a_port_that_is_in_use() -> Steps:
    with socket.socket() as other, socket.socket() as free:
        other.bind(("127.0.0.1", 0))
        other.listen()
        refusal = yield dashboard(other.getsockname()[1])
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dashboard(port)()
    return dashboard(refusal.find(r"choose another, or (\w+)"))


@case(RESERVE, "name one")
def no_free_port(monkeypatch: pytest.MonkeyPatch) -> Steps:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with monkeypatch.context() as patch:
        patch.setattr(local_ray, "_bind", lambda *_, **__: None)
        yield dashboard("auto")
    return dashboard(port)


def fail_with(error: Exception) -> Callable[..., None]:
    """Returns a function that raises an error."""

    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def start_ray() -> None:
    with reserve_port(Dashboard(host="127.0.0.1", port="auto")) as port:
        local_ray.start_ray(ONE, port, ROOT)


@case("search/ray_backend/local_ray.py::start_ray", "Ray must start")
def a_ray_that_doesn_t_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    folder = PrivateFolder(tmp_path, os.open(tmp_path, os.O_RDONLY))
    logs = tmp_path / "s" / "session_latest" / "logs"
    logs.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    for name in ("PYTHONPATH", "TMPDIR", *(name for name in os.environ if name.startswith("RAY_"))):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # it gets its value back
    monkeypatch.setattr(ray, "init", fail_with(ConnectionError("no space in /dev/shm")))
    monkeypatch.setattr(local_ray, "make_private_folder", lambda *_: folder)
    monkeypatch.setattr(local_ray, "_folders", [])
    refusal = yield start_ray
    assert Path(refusal.find(r"see its logs in (\S+), then run the same")) == logs
    monkeypatch.setattr(ray, "init", lambda **_: SimpleNamespace(dashboard_url="127.0.0.1:8265"))


CHECK_RAY = ("search/ray_backend/local_ray.py::check_ray", "ClusterError")


def check_ray() -> None:
    local_ray.check_ray(ONE)


@case("common/private_folder.py::choose_place", "Temporary files need", *CHECK_RAY)
def no_room_for_ray_s_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    usual = local_ray.places()
    monkeypatch.setattr(local_ray, "places", lambda: (tmp_path / ("a" * 90), Path("/proc")))
    refusal = yield check_ray
    assert refusal.find(r"but (.*); free some") == (
        f"{tmp_path / ('a' * 90)} is too long, /proc has 0 MiB"
    )
    monkeypatch.setattr(local_ray, "places", lambda: usual)


LIMITS = "search/hardware/process_limits.py::find_limit_errors"


def grant(monkeypatch: pytest.MonkeyPatch, kind: int, amount: int) -> list[int]:
    """Makes the system grant so much of one kind, and returns a list whose only value is it."""
    granted, usual = [amount], resource.getrlimit
    limit = lambda asked: (granted[0],) * 2 if asked == kind else usual(asked)  # noqa: E731
    monkeypatch.setattr(resource, "getrlimit", limit)
    return granted


@case(LIMITS, "The limit of open files", *CHECK_RAY)
def a_low_limit_of_open_files(monkeypatch: pytest.MonkeyPatch) -> Steps:
    granted = grant(monkeypatch, resource.RLIMIT_NOFILE, 64)
    refusal = yield check_ray
    granted[0] = int(refusal.find(r"docker run --ulimit nofile=(\d+)`"))


@case(LIMITS, "The limit of processes", *CHECK_RAY)
def a_low_limit_of_threads(monkeypatch: pytest.MonkeyPatch) -> Steps:
    granted = grant(monkeypatch, resource.RLIMIT_NPROC, 300)
    monkeypatch.setattr(process_limits, "count_threads", lambda: 17)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(local_ray, "check_token", lambda: None)
    refusal = yield check_ray
    granted[0] = int(refusal.find(r"docker run --ulimit nproc=(\d+)`"))


TOKEN = ("search/security.py::_refuse", "Ray's token must be")


@case(*TOKEN, "search/security.py::prepare_token", "_refuse")
def a_token_that_can_t_be_made(tmp_path: Path) -> Steps:
    environment = {"RAY_AUTH_TOKEN_PATH": "/proc/nowhere/token"}
    refusal = yield lambda: prepare_token(tmp_path / "spare", environment)
    environment[refusal.find(r"by (\w+)\.")] = str(tmp_path / "mine")


@case(*TOKEN, "search/security.py::_keep_private", "_refuse")
def a_token_of_somebody_else(tmp_path: Path) -> Steps:
    theirs = Path("/etc/passwd")  # root's
    if os.geteuid() == 0:
        theirs = tmp_path / "theirs"
        theirs.touch()
        os.chown(theirs, 4711, 4711)
    environment = {"RAY_AUTH_TOKEN_PATH": str(theirs)}
    refusal = yield lambda: prepare_token(tmp_path / "spare", environment)
    environment[refusal.find(r"by (\w+)\.")] = str(tmp_path / "mine")


CLUSTER = "search/ray_backend/ray_cluster.py"
NO_CLUSTER = (f"{CLUSTER}::_no_cluster", "with this machine as a node")
NODES = "a test starts no cluster; it checks that what it names is there"


def check_cluster(refusal: Refusal) -> None:
    """Checks that the file that a text names is there."""
    assert (ROOT / refusal.find(r"`ray attach (\S+)`")).exists()


@case(f"{CLUSTER}::_check_reachable", "_no_cluster", *NO_CLUSTER, beyond=NODES)
def an_address_at_which_nobody_listens(tmp_path: Path) -> Steps:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        refusal = yield plan_search(tmp_path, "--address", address)
    check_cluster(refusal)


@case(f"{CLUSTER}::connect", "_no_cluster", *NO_CLUSTER, beyond=NODES)
def a_machine_that_is_no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    monkeypatch.setattr(ray, "init", fail_with(ConnectionError("Could not find any running Ray")))
    refusal = yield plan_search(tmp_path, "--address", "auto")
    check_cluster(refusal)


@case(f"{CLUSTER}::connect", "offer none; see", beyond=NODES)
def a_cluster_without_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    monkeypatch.setattr(ray, "init", lambda **_: SimpleNamespace(dashboard_url=""))
    monkeypatch.setattr(ray_cluster, "living_nodes", tuple)
    refusal = yield plan_search(tmp_path, "--address", "auto")
    assert refusal.find("see `(ray status)`")


CHECK = "search/ray_backend/node_check.py"


@case(f"{CHECK}::describe_mismatch", "must have the packages of this machine")
def a_node_with_other_packages() -> Steps:
    here = {"ray": "2.60.0", "torch": "2.14.1+cpu"}

    def compare(there: dict[str, str | None]) -> Attempt:
        def attempt() -> None:
            if errors := node_check.describe_mismatch(here, there, "10.0.0.2"):
                raise SearchError(errors)

        return attempt

    refusal = yield compare({"ray": "2.60.0", "torch": "2.13.0"})
    check_setup(refusal)
    return compare({"ray": "2.60.0", "torch": refusal.find(r"2\.13\.0 instead of (\S+);")})


@case(f"{CHECK}::describe_excess", "must offer only the {} that it may use")
def a_node_that_offers_more_than_its_container_allows() -> Steps:
    cores = Allowance(amount=2, present=64, source="the container's CPU quota, cgroup v2")
    memory = Allowance(amount=1 << 30, present=1 << 37, source="the container's memory.max")

    def offer(cpus: int, memory_bytes: int) -> Attempt:
        machine = Machine(cpus=cpus, memory_bytes=memory_bytes, gpus=())

        def attempt() -> None:
            node = Node(id="a", address="10.0.0.2", machine=machine)
            if errors := node_check.describe_excess(cores, memory, 64, node):
                raise SearchError(errors)

        return attempt

    refusal = yield offer(64, 1 << 36)
    advised = int(refusal.find(r"`--num-cpus=(\d+)`")), int(refusal.find(r"`--memory=(\d+)`"))
    assert advised == (2, 1 << 30)
    return offer(*advised)


@case(f"{CHECK}::describe_gpu_excess", "must offer only GPUs")
def a_node_that_offers_gpus_that_torch_can_t_use() -> Steps:
    usable = replace(faked_gpus("L4")[0], id="1")
    survey = GpuSurvey(gpus=(usable,), faults=("torch must compute on GPU 0, but doesn't.",))

    def offer(count: int, visible: str | None) -> Attempt:
        machine = Machine(cpus=8, memory_bytes=1 << 36, gpus=faked_gpus(*["L4"] * count))

        def attempt() -> None:
            node = Node(id="a", address="10.0.0.2", machine=machine)
            if errors := node_check.describe_gpu_excess(survey, node, visible):
                raise SearchError(errors)

        return attempt

    refusal = yield offer(2, None)
    count = int(refusal.find(r"--num-gpus=(\d+)`"))
    with pytest.raises(SearchError):
        offer(count, None)()  # Ray would give trials GPU 0
    options, _ = resolve({"space": "demo"}, parse(list(refusal.options("--gpus-per-trial")))[0])
    there = Machine(cpus=8, memory_bytes=1 << 36, gpus=(usable,), gpu_faults=(refusal.text,))
    assert find_gpu_errors(options, there, resuming=False) == []
    return offer(count, refusal.find(r"`CUDA_VISIBLE_DEVICES=(\S+) ray start"))


@case(f"{CHECK}::_read", "the process that tried has died", beyond=NODES)
def a_node_whose_process_dies(monkeypatch: pytest.MonkeyPatch) -> Steps:
    there: Any = SimpleNamespace(address="10.0.0.2")
    monkeypatch.setattr(ray, "get", fail_with(ray.exceptions.WorkerCrashedError()))

    def attempt() -> None:
        if errors := node_check._read(there, there)[1]:
            raise SearchError(errors)

    refusal = yield attempt
    assert refusal.find(r"see `(dmesg)` of that node")
    monkeypatch.setattr(ray, "get", lambda answer: answer)


@case(f"{CHECK}::_read", "`make setup` there", beyond=NODES)
def a_node_that_can_t_run_the_code(monkeypatch: pytest.MonkeyPatch) -> Steps:
    failure = ray.exceptions.RuntimeEnvSetupError("No module named 'pip'")
    monkeypatch.setattr(ray, "get", fail_with(failure))
    machine: Any = None
    node, answer = Node(id="a", address="10.0.0.2", machine=machine), SimpleNamespace()

    def attempt() -> None:
        if errors := node_check._read(answer, node)[1]:  # type: ignore[arg-type]
            raise SearchError(errors)

    refusal = yield attempt
    check_setup(refusal)
