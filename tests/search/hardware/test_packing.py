"""How many trials a GPU trains at once: the choice by made rates, and real processes on cores."""

import os
import time
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from search.hardware import packing_probe
from search.hardware.calibration import CalibrationStore
from search.hardware.packing import JoinError, NoMemoryError, find_packing, serves_mps
from search.hardware.packing_probe import TrainingProcesses, measure_packing
from trainables.config import TrialConfig
from trainables.profiling.training_steps import AHEAD, run_ahead

CONFIG = TrialConfig(
    network="resnet10", image_size=32, batch_size=4, freeze_depth=0, precision="float32"
)


class MadeRates:
    """Trainings that together train so fast; where the rates end, one more fails, by default for
    want of memory.
    """

    def __init__(self, *rates: float, error: JoinError | None = None) -> None:
        self.rates, self.joined = rates, 0
        self.error = error or NoMemoryError("CUDA out of memory")

    def join(self) -> None:
        if self.joined == len(self.rates):
            raise self.error
        self.joined += 1

    def images_per_s(self) -> float:
        return self.rates[self.joined - 1]


@pytest.mark.parametrize(
    ("rates", "most", "tried", "chosen"),
    [
        ((100, 160, 175, 178, 179, 180), 9, 5, 3),  # 175 is within 5 % of 179
        ((100, 101, 103, 200), 9, 3, 1),  # two that brought nothing end the measurement
        ((100, 104, 109, 113, 118, 123, 128), 7, 7, 6),  # each brings a little
        ((100, 200, 300, 400), 2, 2, 2),
        ((100, 60, 50, 40), 9, 3, 1),  # they only take turns, and pay for it
        ((100,), 1, 1, 1),
    ],
)
def test_the_smallest_number_near_the_best_is_chosen(rates, most, tried, chosen):
    made = MadeRates(*map(float, rates))
    found = find_packing(made, most, mps=False)
    assert (len(found.images_per_s), found.trials) == (tried, chosen)
    assert made.joined == tried
    assert found.rate == rates[chosen - 1] / chosen
    assert found.sound()


def test_one_that_finds_no_memory_ends_the_measurement_and_is_named():
    found = find_packing(MadeRates(1000.0, 1900.0), 9, mps=True)
    assert found.describe() == (
        "2 trials a GPU, by images/s together: 1 → 100 %, 2 → 190 % of 1,000 under MPS; "
        "3 didn't train (CUDA out of memory)"
    )
    none = find_packing(MadeRates(), 9, mps=False)
    assert (none.trials, none.rate, none.sound()) == (1, None, False)
    assert none.describe() == "1 trial a GPU; 1 didn't train (CUDA out of memory)"


@pytest.mark.parametrize("rates", [(1000.0,), ()])
def test_a_failure_that_is_no_want_of_memory_is_kept_with_its_reason(tmp_path: Path, rates):
    store, hangs = CalibrationStore(tmp_path / "c.json"), JoinError("no step in 180 s")
    cut = find_packing(MadeRates(*rates, error=hangs), 9, mps=False)
    store.keep("packing-a", cut)
    found = store.find_packing("packing-a")
    assert found == cut
    assert (found.trials, found.lacked_memory) == (1, False)
    reason = f"; {len(rates) + 1} didn't train (no step in 180 s), which --measure tries anew"
    assert found.describe().endswith(reason)


def test_the_choice_is_kept_beside_the_precision(tmp_path: Path):
    store, made = CalibrationStore(tmp_path / "c.json"), MadeRates(100.0, 150.0)
    measured = find_packing(made, 2, mps=False)
    store.keep("packing-a", measured)
    assert store.find_packing("packing-a") == measured
    assert store.find("packing-a") is None
    assert store.find_packing("packing-b") is None
    for ended in (MadeRates(), MadeRates(100.0)):  # a neighbour took the memory, say
        store.keep("packing-a", find_packing(ended, 2, mps=False))
        assert store.find_packing("packing-a") is None


@pytest.mark.parametrize("named", [True, False])
def test_mps_is_known_by_its_pipe(tmp_path: Path, named: bool):
    environment = {"CUDA_MPS_PIPE_DIRECTORY": str(tmp_path)}
    assert not serves_mps(environment)
    if named:
        os.mkfifo(tmp_path / "control")
    assert serves_mps(environment) is named


def count_steps(config, threads, connection):
    """Stands for a training: a step of 4 images in 10 ms, from `JOIN` until `END`."""
    connection.send((0, time.monotonic()))
    if connection.recv() != packing_probe.JOIN:
        os._exit(0)
    for step in count(1):
        time.sleep(0.01)
        connection.send((4 * step, time.monotonic()))
        if connection.poll():
            os._exit(0)


def count_on(config, threads, connection):
    """Stands for a training that doesn't answer: in a kernel that doesn't end, say."""
    connection.send((0, time.monotonic()))
    connection.recv()
    for step in count(1):
        time.sleep(0.01)
        connection.send((4 * step, time.monotonic()))


def fail_at_once(config, threads, connection):
    connection.send(NoMemoryError("RuntimeError: CUDA error: no kernel image"))


def end_without_a_word(config, threads, connection):
    os._exit(9)


@pytest.mark.slow
def test_processes_join_are_counted_and_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing_probe, "SECONDS", 0.5)
    with TrainingProcesses(CONFIG, 1, 3, count_steps) as trainings:
        trainings.join()
        one = trainings.images_per_s()
        trainings.join()
        two = trainings.images_per_s()
        processes = [each.process for each in trainings._trainings]
        assert len({process.pid for process in processes}) == 2
        waiting = trainings._waiting[0].process
        os.kill(processes[1].pid, 9)
        with pytest.raises(NoMemoryError, match="exit code -9"):
            trainings.images_per_s()
    assert 150 < one <= 400
    assert two > 1.5 * one
    assert [process.exitcode for process in processes] == [0, -9]
    assert waiting.exitcode == 0


@pytest.mark.parametrize(("compiles", "patience_s"), [(False, 180.0), (True, 2580.0)])
def test_a_training_that_compiles_may_take_longer_to_join(
    monkeypatch: pytest.MonkeyPatch, compiles: bool, patience_s: float
):
    """No process starts."""
    started: list[SimpleNamespace] = []
    process = SimpleNamespace(
        start=lambda: started.append(process), join=lambda *_: None, kill=lambda: None
    )
    here = SimpleNamespace(send=lambda _: None)
    context = SimpleNamespace(
        Pipe=lambda: (here, SimpleNamespace(close=lambda: None)), Process=lambda **_: process
    )
    monkeypatch.setattr(packing_probe, "get_context", lambda kind: context)
    waits: list[float] = []

    def wait(done, seconds=packing_probe.PATIENCE_S, watched=None):
        waits.append(seconds)

    with TrainingProcesses(CONFIG.but(compile=compiles), 1, 2, count_steps) as trainings:
        monkeypatch.setattr(trainings, "_wait", wait)
        trainings.join()
        trainings.join()
    assert waits == [patience_s, patience_s, 180.0, 180.0]
    assert len(started) == 2


@pytest.mark.slow
def test_only_a_process_that_does_not_answer_is_killed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing_probe, "ENDING_S", 0.3)
    with TrainingProcesses(CONFIG, 1, 1, count_on) as trainings:
        trainings.join()
        process = trainings._trainings[0].process
    assert process.exitcode == -9


@pytest.mark.slow
def test_real_trainings_end_by_themselves():
    train = partial(packing_probe._train, captured=False)
    with TrainingProcesses(CONFIG, 1, 1, train) as trainings:
        trainings.join()
        process = trainings._trainings[0].process
    assert process.exitcode == 0


def test_steps_that_are_under_way_end_before_the_training_does():
    """A fake event stands for each step on a GPU."""
    ended: list[int] = []
    numbers = count(1)
    steps = run_ahead(
        lambda: 8, lambda: SimpleNamespace(synchronize=partial(ended.append, next(numbers)))
    )
    assert [next(steps), next(steps)] == [8, 8]
    assert ended == [1, 2]
    steps.close()
    assert ended == [1, 2, *range(3, 3 + AHEAD)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("train", "why"), [(fail_at_once, "no kernel image"), (end_without_a_word, "exit code 9")]
)
def test_a_process_that_ends_is_no_trial(train, why):
    with TrainingProcesses(CONFIG, 1, 1, train) as trainings, pytest.raises(JoinError, match=why):
        trainings.join()


@pytest.mark.slow
def test_real_trainings_share_two_cores(monkeypatch: pytest.MonkeyPatch):
    """On cores in place of a GPU: real steps, real processes, and rates of both."""
    monkeypatch.setattr(packing_probe, "SECONDS", 1.0)
    found = measure_packing(CONFIG, 1, 2)
    assert len(found.images_per_s) == 2
    assert found.sound()
    assert not found.ended
    assert found.images_per_s[1] > 0.5 * found.images_per_s[0]
