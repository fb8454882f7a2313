"""What a search measures before its first trial, and which of it counts later."""

import json
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import WorkerCrashedError

from results.analysis.session_times import GpuTime
from results.records import TrainingId
from results.store import read_manifest
from search.hardware.calibration import CalibrationStore, Measurement
from search.hardware.machine import Machine
from search.hardware.packing import Packing
from search.hardware.packing_probe import measure_packing
from search.hardware.probe import ProbeError, describe_gpu, measure_capture, measure_gpu
from search.hardware.training_speed import Source
from search.planning.cost_estimate import training_speed
from search.planning.plan import Plan
from search.planning.resources import allocate_resources
from search.ray_backend.ray_cluster import report_death
from search.session.checks import check_network
from search.session.gpu_allocation import allocate_gpus
from search.session.startup import find_measurement, start_measurement
from tests.search.hardware.faked_gpus import gpus as faked_gpus
from tests.search.session_on_curves import opened, planned, search
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig
from trainables.profiling.capture_gain import CaptureGain
from trainables.profiling.gpu_need import GpuNeed


class FakeProcess:
    """Measures a rate that grows with each measurement, without torch.

    others: what other functions than `measure` return.
    """

    def __init__(self, others: dict[Any, Any] | None = None) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.others, self.others_asked = others or {}, list[tuple[Any, ...]]()

    def submit(self, function: Any, *args: Any, **kwargs: Any) -> "Future[Any]":
        if function in self.others:
            self.others_asked.append(args)
            other: Future[Any] = Future()
            other.set_result(self.others[function])
            return other
        self.asked.append(args)
        rate = 100.0 * len(self.asked)
        precision = "bfloat16" if args[0].precision == "auto" else args[0].precision
        future: Future[Measurement] = Future()
        future.set_result(Measurement(precision=precision, images_per_s={precision: rate}))
        return future


@pytest.fixture
def plan(tiny_data: Path, tmp_path: Path) -> Plan:
    return planned(tmp_path, tiny_data, {}, name="new", trials=4)


def test_a_speed_is_measured_once_and_again_if_asked(plan: Plan) -> None:
    torch: Any = FakeProcess()
    assert find_measurement(plan) is None
    first, why = start_measurement(plan, torch, anew=False)()
    assert (first.rate, why) == (100.0, "as asked, images/s a trial: float32 100")
    again, why = start_measurement(plan, torch, anew=False)()
    assert again == first == find_measurement(plan)
    assert why == "as asked, images/s a trial: float32 100, measured before"
    anew, why = start_measurement(plan, torch, anew=True)()
    assert (anew.rate, why) == (200.0, "as asked, images/s a trial: float32 200")
    assert find_measurement(plan) == anew
    assert torch.asked == [(plan.baseline, plan.resources.threads, None)] * 2


def on_gpus(plan: Plan, **options: Any) -> Plan:
    """Returns the plan on a machine with two GPUs and 16 cores."""
    machine = Machine(cpus=16, memory_bytes=64 << 30, gpus=faked_gpus("L4", "L4", gib=24))
    options = {"gpus_per_trial": "auto", "trials": 64, "concurrency": "auto", **options}
    asked = replace(plan.options, **options)
    resources = allocate_resources(asked, machine, None, 1 << 30)
    return replace(plan, options=asked, machine=machine, resources=resources)


SLOWER = CaptureGain(plain_images_per_s=1000.0, captured_images_per_s=900.0)


def need(gib: float) -> GpuNeed:
    return GpuNeed(needed_bytes=int(gib * (1 << 30)), free_bytes=24 << 30)


def test_trials_on_gpus_are_as_many_as_train_most_images(plan: Plan) -> None:
    """Six fit in memory, and there are eight cores for each GPU: three train within 5 % of most."""
    packing = Packing(images_per_s=[1000.0, 1600.0, 1750.0, 1790.0], mps=False)
    settings = {"cudnn": 9, "deterministic": False}
    answers = {
        describe_gpu: settings,
        measure_capture: SLOWER,
        measure_gpu: need(3.2),
        measure_packing: packing,
    }
    torch: Any = FakeProcess(answers)
    printed: list[str] = []
    planned = allocate_gpus(
        on_gpus(plan), "float32", printed.append, torch, images=None, anew=False
    )
    assert (planned.resources.concurrent, planned.resources.gpus_held) == (6, 2)
    assert (planned.packing, planned.gpu) == (packing, {**settings, "captured_steps": False})
    assert printed[-2] == (
        "GPUs       3 trials a GPU, by images/s together: 1 → 100 %, 2 → 160 %, 3 → 175 %, "
        "4 → 179 % of 1,000"
    )
    assert torch.others_asked[-1] == (plan.baseline, 1, 6)
    again = allocate_gpus(on_gpus(plan), "float32", print, torch, images=None, anew=False)
    assert again == planned
    assert torch.others_asked[-1] == (plan.bounds.largest,)  # the number was measured before
    allocate_gpus(on_gpus(plan), "float32", print, torch, images=None, anew=True)
    assert torch.others_asked[-1] == (plan.baseline, 1, 6)
    halves = allocate_gpus(on_gpus(plan), "bfloat16", print, torch, images=None, anew=False)
    assert torch.others_asked[-1] == (plan.baseline.but(precision="bfloat16"), 1, 6)
    assert halves == planned


@pytest.mark.parametrize("lacked_memory", [True, False])
def test_a_number_of_trials_that_a_failure_has_cut_is_measured_anew_where_memory_may_be_back(
    plan: Plan, lacked_memory: bool
) -> None:
    cut = Packing(
        images_per_s=[1000.0],
        mps=False,
        ended="2 didn't train (no step in 180 s)",
        lacked_memory=lacked_memory,
    )
    torch: Any = FakeProcess(
        {describe_gpu: {}, measure_capture: SLOWER, measure_gpu: need(3.2), measure_packing: cut}
    )
    for anew in (False, False, True):
        lines: list[str] = []
        divided = allocate_gpus(
            on_gpus(plan), "float32", lines.append, torch, images=None, anew=anew
        )
        assert (divided.packing, divided.resources.per_gpu) == (cut, 1)
        assert any("2 didn't train (no step in 180 s)" in line for line in lines)
    packings = [asked for asked in torch.others_asked if asked == (plan.baseline, 1, 6)]
    assert len(packings) == (3 if lacked_memory else 2)


@pytest.mark.parametrize(
    ("options", "most"), [({"trials": 3}, 2), ({"concurrency": "6"}, 3), ({"trials": 99}, 8)]
)
def test_no_more_are_tried_than_there_will_be_and_cores_allow(
    plan: Plan, options: dict[str, Any], most: int
) -> None:
    packing = Packing(images_per_s=[1000.0], mps=False)
    answers = {
        describe_gpu: {},
        measure_capture: SLOWER,
        measure_gpu: need(1),
        measure_packing: packing,
    }
    torch: Any = FakeProcess(answers)
    allocate_gpus(on_gpus(plan, **options), "float32", print, torch, images=None, anew=False)
    assert torch.others_asked[-1][-1] == most


@pytest.mark.parametrize(("precision", "stays"), [("float16", False), ("bfloat16", True)])
def test_nodes_without_a_gpu_do_not_train_in_float16(
    plan: Plan, precision: str, stays: bool
) -> None:
    printed: list[str] = []
    asked = on_gpus(plan, gpus_per_trial="0.5")
    mixed = replace(asked, resources=replace(asked.resources, beside=plan.resources))
    torch: Any = FakeProcess({describe_gpu: {}, measure_capture: SLOWER, measure_gpu: need(15)})
    planned = allocate_gpus(mixed, precision, printed.append, torch, images=None)
    assert planned.resources == (mixed if stays else asked).resources
    assert len(printed) == 2 + (not stays)


def test_where_one_trial_has_to_be_alone_nothing_is_measured(plan: Plan) -> None:
    torch: Any = FakeProcess({describe_gpu: {}, measure_capture: SLOWER, measure_gpu: need(15)})
    printed: list[str] = []
    planned = allocate_gpus(
        on_gpus(plan), "float32", printed.append, torch, images=None, anew=False
    )
    assert (planned.resources.per_gpu, printed[-2]) == (1, "GPUs       1 trial a GPU")
    assert len(torch.others_asked) == 3


def test_how_many_train_together_is_not_measured_where_a_share_is_asked_for(plan: Plan) -> None:
    torch: Any = FakeProcess(
        {describe_gpu: {"mps": True}, measure_capture: SLOWER, measure_gpu: need(15)}
    )
    printed: list[str] = []
    asked = on_gpus(plan, gpus_per_trial="0.5")
    planned = allocate_gpus(asked, "float32", printed.append, torch, images=None, anew=False)
    assert printed[2:] == ["GPUs       NVIDIA's MPS serves them"]
    assert planned == replace(asked, gpu={"mps": True, "captured_steps": False})
    assert (torch.asked, len(torch.others_asked)) == ([], 3)
    cores = on_gpus(plan, gpus_per_trial="0")
    assert allocate_gpus(cores, "float32", print, torch, images=None, anew=False) is cores


def test_a_gpu_s_speed_is_measured_too(plan: Plan) -> None:
    """Alone a trial trains 100 images a second; two of them share a GPU, so each counts half."""
    torch: Any = FakeProcess()
    shared = on_gpus(plan, gpus_per_trial="0.5")
    measured, why = start_measurement(shared, torch, anew=False)()
    assert (measured.rate, why) == (100.0, "as asked, images/s a trial: float32 100")
    speed = training_speed(shared, 100, measured)
    alone = training_speed(on_gpus(plan, gpus_per_trial="1"), 100, measured)
    found, single = (s.estimate(plan.baseline, 0.5) for s in (speed, alone))
    assert (found.source, found.epoch_s) == (Source.MEASURED, pytest.approx(2 * single.epoch_s))
    together = replace(shared, packing=Packing(images_per_s=[100.0, 160.0], mps=False))
    packed = training_speed(together, 100, measured).estimate(plan.baseline, 0.5)
    assert packed.epoch_s == pytest.approx(single.epoch_s * 100 / 80)


def test_cores_and_gpus_of_one_machine_are_measured_apart(plan: Plan) -> None:
    """The trials have one thread each, on the GPU and beside it."""
    torch: Any = FakeProcess()
    gpu, cores = (on_gpus(plan, gpus_per_trial=share, concurrency="16") for share in ("1", "0"))
    cores = replace(cores, resources=replace(cores.resources, threads=1))
    for each in (gpu, cores):
        assert find_measurement(each) is None
        start_measurement(each, torch, anew=False)()
    found = [find_measurement(each) for each in (gpu, cores)]
    assert [each.rate for each in found if each] == [100.0, 200.0]


@pytest.mark.parametrize(
    ("capabilities", "share", "half"),
    [
        (("8.0", "7.5"), "1", "float16"),  # the one that measures would take bfloat16
        (("8.0", "7.5"), "0", None),
        (("8.0", "12.0"), "1", None),
        (("", ""), "1", None),
    ],
)
def test_one_older_gpu_keeps_all_trials_from_bfloat16(
    plan: Plan, capabilities: tuple[str, ...], share: str, half: str | None
) -> None:
    torch: Any = FakeProcess()
    asked = on_gpus(plan, gpus_per_trial=share)
    cards = zip(asked.machine.gpus, capabilities, strict=True)
    gpus = tuple(replace(gpu, capability=capability) for gpu, capability in cards)
    start_measurement(replace(asked, machine=replace(asked.machine, gpus=gpus)), torch, anew=False)
    assert torch.asked[0][-1] == half


def test_a_session_expects_what_was_measured_until_epochs_are_trained(
    plan: Plan, tiny_data: Path
) -> None:
    """72 images and two evaluations of 8 at a third of the cost make 77.3 images."""
    from datasets.access import open_search_data
    from search.session import execute

    measured = Measurement(precision="float32", images_per_s={"float32": 77.333})
    data = open_search_data(tiny_data)
    session = execute.open_session(plan, data, "float32", None, print, measured)
    baseline, larger = plan.baseline, plan.baseline.but(image_size=64)
    assert session.speed.estimate(baseline).epoch_s == pytest.approx(1.0, rel=0.01)
    assert session.speed.estimate(larger).epoch_s == pytest.approx(4.0, rel=0.01)
    assert session.limits.epoch_s == pytest.approx(1.0, rel=0.01)
    epoch = replace(metrics(1, 0.5), wall_s=8.0)
    session.watchdog.reports(TrainingId(0), baseline, 0.0, epoch)
    assert session.speed.estimate(larger).epoch_s == pytest.approx(32.0)
    session.close()


def test_a_session_knows_the_epochs_of_earlier_ones(tiny_data: Path, tmp_path: Path) -> None:
    """Each epoch of the made curves takes 1.5 s, at 32 px."""
    search(planned(tmp_path, tiny_data, {}, name="old", trials=4), epochs=3)
    session = opened(planned(tmp_path, tiny_data, {}, name="old", trials=4))
    config = TrialConfig(network="resnet10", image_size=64)
    found = session.speed.estimate(config)
    assert (found.epoch_s, found.source) == (pytest.approx(6.0), Source.TRAINED)
    session.close()


def test_a_measurement_in_the_other_precision_is_no_rate(tmp_path: Path) -> None:
    both = Measurement(precision="bfloat16", images_per_s={"float32": 7.0, "bfloat16": 12.0})
    CalibrationStore(tmp_path / "c.json").keep("a", both)
    found = CalibrationStore(tmp_path / "c.json").find("a")
    assert found is not None
    assert (found.rate, replace(found, precision="float32").rate) == (12.0, 7.0)


def test_sessions_record_for_how_long_they_held_gpus(tiny_data: Path, tmp_path: Path) -> None:
    """A trial has half a GPU for a while in two sessions, and the second one counts both."""
    held: list[float] = []
    for number in (1, 2):
        plan = planned(tmp_path, tiny_data, {}, name="run", trials=4)
        session = opened(replace(plan, resources=replace(plan.resources, concurrent=2, per_gpu=2)))
        before = session.meter.total().held_s
        assert before == pytest.approx(sum(held))
        proposal = session.study.ask()
        assert proposal is not None
        session.meter.began(proposal, 0.5)
        session.meter.placed(proposal.training, ("a/0",))
        time.sleep(0.02)
        session.study.report(proposal.number, replace(metrics(number, 0.1), wall_s=0.01))
        session.meter.closed()
        session.close()
        entry = read_manifest(plan.directory)["sessions"][-1]
        held.append(entry["gpu_s"])
        assert 0.02 <= entry["gpu_s"] < 5
        assert 0.0 < entry["gpu_s"] <= entry["used_s"]
    lines = (plan.directory / "epochs.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["session"] for line in lines if "gpu_s" in line] == [1, 2]


def test_a_killed_session_on_cores_held_no_gpu(tiny_data: Path, tmp_path: Path) -> None:
    """A later one, whose trials have half a GPU, counts none of its epochs."""
    plan = planned(tmp_path, tiny_data, {}, name="run", trials=4)
    session = opened(plan)
    session.study.ask()
    session.study.report(0, metrics(1, 0.1))
    session.store.close()  # and no end is recorded
    session.finalists.store.close()
    again = opened(replace(plan, resources=replace(plan.resources, concurrent=2, per_gpu=2)))
    assert again.finalists.spent_s() > 0
    assert again.meter.total() == GpuTime(held_s=0.0, busy_s=0.0)
    again.close()


def test_a_process_that_dies_while_it_measures_is_named(plan: Plan) -> None:
    dead: Any = SimpleNamespace(submit=lambda *_: ended_abruptly())
    with pytest.raises(ProbeError, match=r"train here, .* has died; see `dmesg` for the reason"):
        start_measurement(plan, dead, anew=True)()
    with pytest.raises(ProbeError, match=r"on the GPU, .* --gpus-per-trial 0\.$"):
        start_measurement(on_gpus(plan), dead, anew=True)()


def test_a_process_that_dies_while_it_checks_a_network_is_named_once(plan: Plan) -> None:
    """It is asked for two configurations, and takes no further question once it is dead."""
    dead = iter([ended_abruptly()])

    def submit(*_: Any, **__: Any) -> "Future[Any]":
        if future := next(dead, None):
            return future
        raise BrokenProcessPool("terminated abruptly")

    config = plan.baseline.but(weights="weights.pt")
    starting = replace(plan.bounds, starting=(config, config))
    there = replace(plan, preview=[config], bounds=starting)
    torch: Any = SimpleNamespace(submit=submit)
    with pytest.raises(ProbeError, match=r"train here, .* has died; see `dmesg`") as refused:
        check_network(there, torch, fetch=False)
    assert len(refused.value.errors) == 1


def test_a_process_that_dies_on_a_node_is_named_too(plan: Plan) -> None:
    future: Future[Any] = Future()
    future.set_exception(WorkerCrashedError())
    dead: Any = SimpleNamespace(submit=lambda *_: report_death(future))
    with pytest.raises(ProbeError, match=r"on a GPU of the cluster, .* has died \(The worker died"):
        start_measurement(on_gpus(plan), dead, anew=True)()
    with pytest.raises(ProbeError, match=r"on a node of the cluster, .* `dmesg` of its node for"):
        start_measurement(plan, dead, anew=True)()


def ended_abruptly() -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_exception(BrokenProcessPool("terminated abruptly"))
    return future
