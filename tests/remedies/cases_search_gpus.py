"""Errors about GPUs: that aren't there, or that torch can't use. No GPU is needed."""

import importlib
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.errors import SearchError
from common.nvml import EXCLUSIVE, PROHIBITED, Driver
from results.store import read_manifest
from search.config.command_line import resolve
from search.hardware.gpus import VISIBLE, Ask, Gpu, find_gpus
from search.hardware.machine import Machine
from search.hardware.probe import TorchProcess
from search.planning.plan import make_plan
from search.planning.resources import allocate_resources
from search.session.checks import check_start
from tests.remedies.harness import Attempt, Refusal, Steps, case
from tests.search.hardware.faked_gpus import FakeTorch, cards, listed
from tests.search.hardware.faked_gpus import gpus as faked_gpus
from tests.search.session_on_curves import opened, planned

MACHINE = "search/planning/option_errors.py"
GPUS = "search/hardware/gpus.py"
DRIVER = cards("L4", "A100")
NO_MPS = {"CUDA_MPS_PIPE_DIRECTORY": "/nowhere"}


@case(f"{MACHINE}::find_gpu_errors", "--gpu-hours must be 0",
      f"{MACHINE}::find_gpu_errors", "on a machine without a GPU")  # fmt: skip
def gpus_that_aren_t_there(tmp_path: Path) -> Steps:
    attempt = on_machine(tmp_path, gpus=(), gpu_hours=2, gpus_per_trial="1")
    refusal = yield attempt
    on_machine(tmp_path, gpus=(), gpus_per_trial=refusal.find(r"auto or (\d)"))()
    assert refusal.find("use --(time-budget)")
    return on_machine(tmp_path, gpus=(), gpus_per_trial="auto", time_budget="2h")


@case(f"{MACHINE}::find_gpu_errors", "because cores train about 90 times slower")
def float16_on_cores(tmp_path: Path) -> Steps:
    refusal = yield on_machine(tmp_path, gpus=(), precision="float16")
    return on_machine(tmp_path, gpus=(), precision=refusal.find(r"; use (\w+)\."))


@case("search/session/checks.py::check_start", "must go on on GPUs")
def a_run_in_float16_that_goes_on_on_cores(tmp_path: Path, tiny_data: Path) -> Steps:
    opened(planned(tmp_path, tiny_data, {}, name="run", trials=3)).close()
    yield going_on(tmp_path, tiny_data, "float16", "auto", ())
    return going_on(tmp_path, tiny_data, "float16", "auto", (T4,))


def going_on(
    tmp_path: Path, data: Path, precision: str, share: str, gpus: tuple[Gpu, ...]
) -> Attempt:
    """Returns an attempt to go on with a run that trains in this precision, on these GPUs."""
    plan = planned(tmp_path, data, {}, name="run", trials=3)
    saved = read_manifest(plan.directory) | {"precision": precision}
    options = replace(plan.options, gpus_per_trial=share)
    machine = Machine(cpus=8, memory_bytes=64 << 30, gpus=gpus)
    resources = allocate_resources(options, machine, None, 1 << 30)
    there = replace(plan, options=options, machine=machine, resources=resources)

    def attempt() -> None:
        with TorchProcess() as torch, ExitStack() as stack:
            check_start(there, saved, torch, stack, fetch=False)

    return attempt


A100, T4 = (
    replace(gpu, capability=capability)
    for gpu, capability in zip(faked_gpus("A100", "T4"), ("8.0", "7.5"), strict=True)
)


@case(f"{MACHINE}::find_gpu_errors", "only emulate bfloat16")
def bfloat16_on_a_gpu_that_only_emulates_it(tmp_path: Path) -> Steps:
    refusal = yield on_machine(tmp_path, gpus=(A100, T4), precision="bfloat16")
    assert "(T4)" in refusal.text
    on_machine(tmp_path, gpus=(T4,), precision="bfloat16", gpus_per_trial="0")()
    return on_machine(tmp_path, gpus=(A100, T4), precision=refusal.find(r"; use (\w+)\."))


@case("search/session/checks.py::_find_emulation", "must go on on GPUs that compute it")
def a_run_in_bfloat16_that_goes_on_beside_an_older_gpu(tmp_path: Path, tiny_data: Path) -> Steps:
    opened(planned(tmp_path, tiny_data, {}, name="run", trials=3)).close()

    def go_on(share: str, *gpus: Gpu) -> Attempt:
        return going_on(tmp_path, tiny_data, "bfloat16", share, gpus)

    with pytest.raises(SearchError, match=r"emulate it; go on on cores"):
        go_on("1", T4)()
    refusal = yield go_on("1", T4, A100)
    assert refusal.find(rf"{VISIBLE}=(\S+),") == A100.id
    go_on("1", A100)()
    return go_on(refusal.options("--gpus-per-trial")[1], T4, A100)


@case(f"{GPUS}::_explain_none", "must be built for CUDA", beyond="no build of torch is installed")
def gpus_and_a_torch_for_cpus(tmp_path: Path) -> Steps:
    refusal = yield on_surveyed(tmp_path, {}, FakeTorch({}, "not compiled", None, "2.14.1+cpu"))
    on_cores(tmp_path, refusal)


@case(f"{GPUS}::_explain_none", "but sees none", beyond="no driver is updated")
def gpus_and_a_driver_that_is_too_old(tmp_path: Path) -> Steps:
    refusal = yield on_surveyed(tmp_path, {}, FakeTorch({}, "The NVIDIA driver is too old"))
    on_cores(tmp_path, refusal)


@case(f"{GPUS}::_explain_none", "must name GPUs of this machine")
def a_variable_that_names_no_gpu(tmp_path: Path) -> Steps:
    torch = FakeTorch({}, "No CUDA GPUs are available")
    refusal = yield on_surveyed(tmp_path, {VISIBLE: "7"}, torch)
    on_cores(tmp_path, refusal)
    assert "; unset it" in refusal.text
    return on_surveyed(tmp_path, {}, FakeTorch({None: [listed("L4"), listed("A100")]}))


@case(f"{GPUS}::_explain_failure", "must compute on GPU")
def a_card_that_torch_is_not_compiled_for(tmp_path: Path) -> Steps:
    cards = [listed("K80", error="no kernel image"), listed("A100")]
    refusal = yield on_surveyed(tmp_path, {}, FakeTorch({None: cards}))
    on_cores(tmp_path, refusal)
    visible = refusal.find(rf"leave it out with {VISIBLE}=(\S+),")
    chosen = FakeTorch({None: [cards[int(visible)]]})
    return on_surveyed(tmp_path, {VISIBLE: visible}, chosen)


@case(f"{GPUS}::_explain_busy", "must be free to train on it")
def a_card_that_others_hold(tmp_path: Path) -> Steps:
    full = FakeTorch({None: [listed("L4", error="CUDA error: out of memory")]})
    refusal = yield on_surveyed(tmp_path, {}, full)
    on_cores(tmp_path, refusal)
    assert refusal.find(r"end those that `(nvidia-smi)` lists")
    return on_surveyed(tmp_path, {}, FakeTorch({None: [listed("L4")]}))


@case(f"{GPUS}::_explain_closed", "must let processes in")
def a_card_whose_compute_mode_is_prohibited(tmp_path: Path) -> Steps:
    none = FakeTorch({}, "No CUDA GPUs are available")
    refusal = yield on_surveyed(tmp_path, {}, none, driver=cards("A100", mode=PROHIBITED))
    on_cores(tmp_path, refusal)
    mode = int(refusal.find(r"`sudo nvidia-smi -c (\d)`"))
    there = FakeTorch({None: [listed("A100")]})
    return on_surveyed(tmp_path, {}, there, driver=cards("A100", mode=mode))


@case(f"{MACHINE}::find_gpu_errors", "let in one process at a time")
def half_a_card_that_lets_in_one_process_at_a_time(tmp_path: Path) -> Steps:
    torch = FakeTorch({None: [listed("A100", uuid="A100")]})

    def share(part: str, mode: int = EXCLUSIVE) -> Attempt:
        driver = cards("A100", mode=mode)
        return on_surveyed(tmp_path, NO_MPS, torch, driver=driver, gpus_per_trial=part)

    refusal = yield share("0.5")
    for part in ("0", "1"):
        share(part)()
    share("0.5", mode=int(refusal.find(r"`sudo nvidia-smi -c (\d)`")))()
    return share(refusal.find(r"; use (\w+),"))


@case(f"{GPUS}::_explain_none", "must have an instance")
def a_divided_card_without_a_slice(tmp_path: Path) -> Steps:
    none = FakeTorch({}, "No CUDA GPUs are available")
    refusal = yield on_surveyed(tmp_path, {}, none, driver=cards("A100", slices=()))
    on_cores(tmp_path, refusal)
    assert refusal.find(r"`(nvidia-smi mig -cgi)`")
    created = FakeTorch({"MIG-a": [listed("A100 MIG 1g.10gb", 10)]})
    on_surveyed(tmp_path, {}, created, driver=cards("A100", slices=("MIG-a",)))()
    assert refusal.find(r"`(nvidia-smi -mig 0)`")
    return on_surveyed(tmp_path, {}, FakeTorch({None: [listed("A100")]}), driver=cards("A100"))


@case(f"{GPUS}::_explain_silence", "must list the GPUs")
def a_torch_that_doesn_t_answer(tmp_path: Path) -> Steps:
    def ask(ids: object) -> dict[str, Any]:
        raise subprocess.TimeoutExpired("python", 120)

    refusal = yield on_surveyed(tmp_path, {}, ask)
    on_cores(tmp_path, refusal)
    module = refusal.find(r"`python -m (\S+)`")
    assert callable(importlib.import_module(module).main)
    return on_surveyed(tmp_path, {}, FakeTorch({None: [listed("L4")]}))


def on_surveyed(
    tmp_path: Path,
    environment: dict[str, str],
    ask: Ask,
    driver: Driver = DRIVER,
    **options: object,
) -> Attempt:
    """Returns an attempt that plans a search on a machine with the cards of `driver`, of which
    torch answers this.
    """
    found = find_gpus(environment, driver, ask)
    return on_machine(tmp_path, gpus=found.gpus, gpu_faults=found.faults, **options)


def on_cores(tmp_path: Path, refusal: Refusal) -> None:
    """Trains on the cores of the machine, as each sentence about its GPUs advises."""
    option, value = refusal.options("--gpus-per-trial")
    assert option == "--gpus-per-trial"
    faults = tuple(refusal.text.splitlines())
    on_machine(tmp_path, gpus=(), gpu_faults=faults, gpus_per_trial=value)()


def on_machine(
    tmp_path: Path, *, gpus: tuple[Gpu, ...], gpu_faults: tuple[str, ...] = (), **options: object
) -> Attempt:
    """Returns an attempt that plans a search on a machine with these GPUs, and these reasons why
    torch can't use them all.
    """

    def attempt() -> None:
        given, errors = resolve({"space": "demo", "out": str(tmp_path)}, options)
        here = Machine(cpus=8, memory_bytes=64 << 30, gpus=gpus, gpu_faults=gpu_faults)
        _, more = make_plan(given, resuming=False, machine=here)
        if errors + more:
            raise SearchError(errors + more)

    return attempt
