"""How a search divides GPUs before its first trial, by a fake process that measures."""

import os
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest

from search.hardware.calibration import Measurement
from search.hardware.gpus import Gpu
from search.hardware.machine import Machine
from search.hardware.packing import Packing
from search.hardware.packing_probe import measure_packing
from search.hardware.probe import ProbeError, describe_gpu, measure_capture, measure_gpu
from search.planning.cost_estimate import expected_epochs
from search.planning.plan import Plan, make_proposer
from search.planning.resources import allocate_resources
from search.ray_backend.slots import Slots
from search.session import execute
from search.session.gpu_allocation import (
    PACKING_WORTH_S,
    UNMEASURED_TRIALS,
    _in_pieces,
    allocate_gpus,
    find_gain,
    ray_may_start_first,
)
from search.session.startup import torch_process
from tests.search.hardware.faked_gpus import GIB, gpus
from tests.search.session_on_curves import planned, search
from tests.search.space_of_networks import write_networks
from trainables.profiling.capture_gain import CaptureGain
from trainables.profiling.gpu_need import GpuNeed


class FakeProcess:
    """Answers with one need, and that each further trial on a GPU trains as many images more. It
    records the configurations whose need is measured.

    captured: the images per second of one trial whose steps are CUDA graphs; 1,000 with others.
    """

    def __init__(
        self, gib: float = 5, free: float = 80, micro: int | None = None, captured: float = 900.0
    ) -> None:
        self.gain = CaptureGain(plain_images_per_s=1000.0, captured_images_per_s=captured)
        self.need = GpuNeed(
            needed_bytes=int(gib * GIB), free_bytes=int(free * GIB), micro_batch_size=micro
        )
        self.asked: list[Any] = []
        self.gains, self.restarts = 0, 0

    def restart(self) -> None:
        self.restarts += 1

    def submit(self, function: Any, *args: Any, **options: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        if function is measure_gpu:
            self.asked.append((args[0].precision, options["freezes"], options["captured"]))
            future.set_result(self.need)
        elif function is measure_packing:
            assert options["captured"] == self.gain.worthwhile
            rates = [100.0 * count for count in range(1, args[-1] + 1)]
            future.set_result(Packing(images_per_s=rates, mps=False))
        elif function is measure_capture:
            self.gains += 1
            future.set_result(self.gain)
        else:
            assert function is describe_gpu
            future.set_result({})
        return future


def plan_on(tmp_path: Path, data: Path, there: tuple[Gpu, ...], **options: Any) -> Plan:
    plan = planned(tmp_path, data, {}, name="new", trials=40)
    here, asked = (
        Machine(cpus=32, memory_bytes=256 * GIB, gpus=there),
        replace(plan.options, **options),
    )
    resources = allocate_resources(asked, here, None, GIB)
    return replace(plan, options=asked, machine=here, resources=resources)


def divided(plan: Plan, torch: FakeProcess, images: int | None = None) -> tuple[Plan, list[str]]:
    """Returns the plan, and what was printed after how steps are taken."""
    lines: list[str] = []
    process: Any = torch
    found = allocate_gpus(plan, "bfloat16", lines.append, process, images=images)
    assert [line for line in lines if "CUDA graph" in line] == lines[:1]
    return found, lines[1:]


def test_as_many_trials_share_each_gpu_as_its_free_memory_holds(
    tmp_path: Path, tiny_data: Path
) -> None:
    torch = FakeProcess(gib=5)
    plan = plan_on(tmp_path, tiny_data, gpus("A100", "A100", gib=80, free=40))
    found, lines = divided(plan, torch)
    assert torch.asked == [("bfloat16", False, False)]
    r = found.resources
    assert (r.per_gpu, r.concurrent, r.free, r.resident) == (6, 12, {"": 0.5}, True)
    assert lines[0] == (
        "GPUs       up to 6 trials each by memory: the largest takes 5.0 GiB, and the images "
        "beside it"
    )
    assert lines[-1] == (
        "GPUs       12 trials of 2 CPU thread(s) and 1/6 GPU each (up to 6 on each of 2 GPUs)"
    )


@pytest.mark.parametrize(
    ("option", "gib", "per_gpu", "resident"),
    [("0.5", 5, 2, True), ("0.5", 39, 2, False), ("1", 39, 1, True), ("1", 79, 1, False)],
)
def test_a_share_that_was_asked_for_stays_and_holds_the_images_where_they_have_room(
    tmp_path: Path, tiny_data: Path, option: str, gib: float, per_gpu: int, resident: bool
) -> None:
    plan = plan_on(tmp_path, tiny_data, gpus("A100"), gpus_per_trial=option)
    found, lines = divided(plan, FakeProcess(gib=gib))
    assert (found.resources.per_gpu, found.resources.resident) == (per_gpu, resident)
    room = ", and the images beside it" if resident else ""
    assert lines == [
        f"GPUs       as many trials each as asked: the largest takes {gib}.0 GiB{room}"
    ]


def test_a_gpu_that_lets_in_one_process_at_a_time_trains_one_trial_as_do_all_others(
    tmp_path: Path, tiny_data: Path
) -> None:
    """No second process tries to join for a measurement."""
    free, alone = gpus("A100", "L4", gib=80)
    there = (free, replace(alone, exclusive=True))
    found, lines = divided(plan_on(tmp_path, tiny_data, there), FakeProcess(gib=5))
    r = found.resources
    assert (r.per_gpu, r.concurrent, r.resident) == (1, 2, True)
    assert found.packing == Packing(images_per_s=[], mps=False)
    assert lines[0] == (
        "GPUs       1 trial each, as GPU 1 (L4) lets in one process at a time: the largest takes "
        "5.0 GiB, and the images beside it"
    )


def test_nothing_is_measured_of_gpus_for_trials_on_cores(tmp_path: Path, tiny_data: Path) -> None:
    torch = FakeProcess()
    found, lines = divided(plan_on(tmp_path, tiny_data, gpus("A100"), gpus_per_trial="0"), torch)
    assert (found.resources.per_gpu, torch.asked, lines) == (0, [], [])


def test_each_gpu_is_fenced_by_its_own_free_memory_and_the_one_that_decides_is_named(
    tmp_path: Path, tiny_data: Path
) -> None:
    """One process of another holds most of the larger one."""
    big, small = *gpus("A100", gib=80, free=24), *gpus("T4", gib=15)
    there = (replace(big, uuid="u-0"), replace(small, id="1", uuid="u-1"))
    found, lines = divided(plan_on(tmp_path, tiny_data, there), FakeProcess(gib=5, free=24))
    assert (found.resources.per_gpu, found.resources.free) == (2, {"u-0": 0.3, "u-1": 1.0})
    assert lines[0].startswith(
        "GPUs       up to 2 trials each by memory of GPU 1 (T4): the largest"
    )
    placement = Slots(found.resources).place(found.resources)
    assert (placement.per_gpu, placement.free) == (2, {"u-0": 0.3, "u-1": 1.0})


def test_a_gpu_too_small_for_a_trial_stays_idle_and_is_named(
    tmp_path: Path, tiny_data: Path
) -> None:
    big, small = *gpus("A100", gib=80), replace(*gpus("GT 710", gib=2), id="1")
    found, lines = divided(plan_on(tmp_path, tiny_data, (small, big)), FakeProcess(gib=5))
    assert found.machine.gpus == (big,)
    assert found.resources.per_gpu == 13
    assert lines[0] == (
        "note: GPU 1 (GT 710) stays idle: it has 2.0 GiB free, and the largest trial takes 5.0."
    )


def test_the_search_goes_on_in_micro_batches_where_a_batch_doesn_t_fit(
    tmp_path: Path, tiny_data: Path
) -> None:
    torch = FakeProcess(gib=7, free=8, micro=16)
    found, lines = divided(plan_on(tmp_path, tiny_data, gpus("T4", gib=8)), torch)
    assert found.fixed["micro_batch_size"] == 16
    assert {config.micro_batch_size for config in make_proposer(found).preview(3)[0]} == {16}
    assert found.resources.per_gpu == 1
    assert lines[0].endswith("trials train in micro-batches of 16 images.")


def test_a_search_in_micro_batches_goes_on_where_a_batch_fits(
    tmp_path: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of its records has to be made anew, and trials train in the batches that fit now."""
    first = planned(tmp_path, tiny_data, {}, name="new", trials=3)
    need = GpuNeed(needed_bytes=1, free_bytes=1, micro_batch_size=8)
    begun = search(_in_pieces(first, need, print))
    assert [record.config["micro_batch_size"] for record in begun.records.values()] == [8] * 3
    capsys.readouterr()
    again = search(planned(tmp_path, tiny_data, {"trials": 4}, name="new", trials=3))
    assert capsys.readouterr().out == ""
    assert [again.records[n].params for n in range(3)] == [
        begun.records[n].params for n in range(3)
    ]
    assert "micro_batch_size" not in again.records[3].config
    third = planned(tmp_path, tiny_data, {"trials": 5}, name="new", trials=3)
    found = search(_in_pieces(third, need, lambda line: None))
    assert capsys.readouterr().out == ""
    assert found.records[4].config["micro_batch_size"] == 8


def test_micro_batches_that_were_asked_for_and_fit_are_no_news(
    tmp_path: Path, tiny_data: Path
) -> None:
    plan = plan_on(tmp_path, tiny_data, gpus("T4", gib=8))
    largest = plan.bounds.largest.but(micro_batch_size=8)
    plan = replace(plan, bounds=replace(plan.bounds, largest=largest))
    found, lines = divided(plan, FakeProcess(gib=7, free=8, micro=8))
    assert found.fixed == plan.fixed
    assert not any("micro-batches" in line for line in lines)


@pytest.mark.parametrize(("option", "visible"), [("auto", "1"), ("0", "")])
def test_what_measures_sees_the_gpu_with_the_most_room_or_none(
    tmp_path: Path, tiny_data: Path, option: str, visible: str
) -> None:
    small, big = *gpus("L4", gib=24), replace(*gpus("A100", gib=80), id="1")
    plan = plan_on(tmp_path, tiny_data, (small, big), gpus_per_trial=option)
    with torch_process(plan) as torch, torch_process(plan_on(tmp_path, tiny_data, ())) as bare:
        seen = [each.submit(os.getenv, "CUDA_VISIBLE_DEVICES") for each in (torch, bare)]
    assert [future.result() for future in seen] == [visible, ""]


@pytest.mark.parametrize(
    ("captured", "worthwhile"), [(5000.0, True), (1040.0, False), (0.0, False)]
)
def test_steps_are_captured_where_that_is_faster(
    tmp_path: Path, tiny_data: Path, captured: float, worthwhile: bool
) -> None:
    """Whether they are counts for the memory, for each trial, and for the number of trials."""
    torch = FakeProcess(captured=captured)
    plan = plan_on(tmp_path, tiny_data, gpus("A100"))
    for options in ({}, {"gpus_per_trial": "0.5"}):
        asked = replace(plan, options=replace(plan.options, **options))
        found, _ = divided(asked, torch)
        assert found.resources.captured is worthwhile
        assert Slots(found.resources).place(found.resources).captured is worthwhile
    assert torch.asked == [("bfloat16", False, worthwhile)] * 2
    assert torch.restarts == (captured == 0)


@pytest.mark.parametrize(("images", "measured"), [(200, False), (2000, True)])
def test_how_many_share_a_gpu_is_measured_where_the_search_is_long_enough(
    tmp_path: Path, tiny_data: Path, images: int, measured: bool
) -> None:
    """At 1,000 images a second, 40 trials of the plan's epochs train for less than two minutes, or
    for longer.
    """
    plan = plan_on(tmp_path, tiny_data, gpus("A100"))
    torch, seconds = FakeProcess(), expected_epochs(plan) * images / 1000
    assert (seconds > PACKING_WORTH_S) is measured
    found, lines = divided(plan, torch, images)
    assert (found.packing is not None) is measured
    assert found.resources.per_gpu == (13 if measured else UNMEASURED_TRIALS)
    assert len(lines) == (3 if measured else 2)


def test_what_captured_steps_gain_is_measured_once_and_again_if_asked(
    tmp_path: Path, tiny_data: Path
) -> None:
    torch = FakeProcess(captured=5000.0)
    plan, process = plan_on(tmp_path, tiny_data, gpus("A100")), cast(Any, torch)
    config = plan.baseline.but(precision="bfloat16")
    found = [find_gain(plan, process, config, anew=anew) for anew in (False, False, True)]
    assert found == [torch.gain] * 3
    assert torch.gains == 2
    find_gain(plan, process, config.but(policy="rand"), anew=False)
    assert torch.gains == 3
    assert divided(plan, torch)[0].gpu == {"captured_steps": True}
    assert torch.gains == 3


def test_a_gain_that_was_not_measured_is_measured_the_next_time(
    tmp_path: Path, tiny_data: Path
) -> None:
    torch = FakeProcess()
    torch.gain = CaptureGain()
    plan = plan_on(tmp_path, tiny_data, gpus("A100"))
    for _ in range(2):
        assert not divided(plan, torch)[0].resources.captured
    assert torch.gains == 2


def test_ray_starts_first_where_a_division_changes_nothing_for_it(
    tmp_path: Path, tiny_data: Path
) -> None:
    """Else a trial would wait for cores that Ray doesn't have, or Ray count a GPU left out."""
    one, two = gpus("L4"), gpus("L4", "L4")
    assert ray_may_start_first(plan_on(tmp_path, tiny_data, one))
    assert ray_may_start_first(plan_on(tmp_path, tiny_data, one, gpus_per_trial="0.25"))
    assert ray_may_start_first(plan_on(tmp_path, tiny_data, two, gpus_per_trial="0"))
    assert not ray_may_start_first(plan_on(tmp_path, tiny_data, two))
    assert not ray_may_start_first(plan_on(tmp_path, tiny_data, one, concurrency="20"))
    plan = plan_on(tmp_path, tiny_data, one, trials=40)
    after, _ = divided(plan, FakeProcess(gib=1, captured=2000.0))
    before = plan.resources.concurrent * plan.resources.threads
    assert after.resources.concurrent > 1
    assert after.resources.concurrent * after.resources.threads <= before


@pytest.mark.parametrize(("cards", "early"), [(("L4",), True), (("L4", "L4"), False)])
def test_ray_starts_while_the_only_gpu_is_measured_and_after_several_are_divided(
    tmp_path: Path,
    tiny_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    cards: tuple[str, ...],
    early: bool,
) -> None:
    plan = plan_on(tmp_path, tiny_data, gpus(*cards))
    ray, order = Event(), list[str]()

    def divide(before: Plan, *_: Any, **__: Any) -> Plan:
        if early:
            assert ray.wait(10)  # what is divided meanwhile keeps Ray waiting for nothing
        order.append("division")
        return replace(before, gpu={"divided": True})

    def start(with_plan: Plan, *_: Any) -> list[Any]:
        assert bool(with_plan.gpu) is not early
        order.append("Ray")
        ray.set()
        return []

    opened: list[Plan] = []
    data = SimpleNamespace(train=range(10))
    checks = SimpleNamespace(port=None, page=None, records=None)
    measured = Measurement(precision="bfloat16", images_per_s={"bfloat16": 100.0})
    for name, answer in {
        "check_start": lambda *_, **__: checks,
        "prepare_images": lambda *_: data,
        "verify_training_images": lambda _: None,
        "print_start": lambda *_: None,
        "start_measurement": lambda *_, **__: lambda: (measured, "made up"),
        "divide_gpus": divide,
        "open_ray": start,
        "open_session": lambda with_plan, *_: opened.append(with_plan),
        "_show_cost": lambda *_: None,
    }.items():
        monkeypatch.setattr(execute, name, answer)
    monitor: Any = SimpleNamespace(stage=lambda _: None, inform=lambda _: None, warn=print)
    with ExitStack() as held:
        execute._open(plan, monitor, cast(Any, None), False, False, held)
    assert order == (["Ray", "division"] if early else ["division", "Ray"])
    assert [each.gpu for each in opened] == [{"divided": True}]


class UnequalProcess(FakeProcess):
    """Answers with another need for each network; one that needs nothing fits nowhere."""

    def __init__(self, **gib: float) -> None:
        super().__init__()
        self.gib = gib

    def submit(self, function: Any, *args: Any, **options: Any) -> "Future[Any]":
        if function is not measure_gpu:
            return super().submit(function, *args, **options)
        future: Future[Any] = Future()
        gib = self.gib[args[0].network]
        if gib:
            parts = 8 if gib > 20 else None
            need = replace(self.need, needed_bytes=int(gib * GIB), micro_batch_size=parts)
            future.set_result(need)
        else:
            future.set_exception(ProbeError("One trial must fit on a GPU; lower image_size."))
        return future


def plan_of_networks(tmp_path: Path, data: Path) -> Plan:
    space = {"space": str(write_networks(tmp_path / "own"))}
    plan = planned(tmp_path, data, space | {"set": []}, name="new", trials=40)
    here = Machine(cpus=32, memory_bytes=256 * GIB, gpus=gpus("A100"))
    resources = allocate_resources(plan.options, here, None, GIB)
    return replace(plan, machine=here, resources=resources)


def test_the_largest_of_all_networks_decides_how_many_trials_share_a_gpu(
    tmp_path: Path, tiny_data: Path
) -> None:
    plan = plan_of_networks(tmp_path, tiny_data)
    found, lines = divided(plan, UnequalProcess(resnet10=5, mini_alexnet=10))
    assert found.resources.per_gpu == 6
    assert sorted(lines[0].partition(": ")[2].split(", ")) == [
        "mini_alexnet 10.0 GiB", "resnet10 5.0 GiB"
    ]  # fmt: skip
    assert "up to 6 trials each by memory: the largest takes 10.0 GiB" in lines[1]
    found, lines = divided(plan, UnequalProcess(resnet10=5, mini_alexnet=30))
    assert found.resources.per_gpu == 2
    assert found.fixed["micro_batch_size"] == 8


def test_a_network_that_fits_nowhere_is_named_and_the_others_train(
    tmp_path: Path, tiny_data: Path
) -> None:
    plan = plan_of_networks(tmp_path, tiny_data)
    found, lines = divided(plan, UnequalProcess(resnet10=5, mini_alexnet=0))
    assert found.resources.per_gpu == 13
    assert lines[0] == (
        "note: trials of mini_alexnet will fail for want of memory: One trial must fit on a GPU; "
        "lower image_size."
    )
    with pytest.raises(ProbeError, match="One trial must fit"):
        divided(plan, UnequalProcess(resnet10=0, mini_alexnet=5))
