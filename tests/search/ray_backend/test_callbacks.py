"""What Tune tells the watchdog, and whom the watchdog has Ray kill."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from search.ray_backend.callbacks import TickCallback, WatchdogCallback
from search.ray_backend.heartbeat import Heartbeat, RayDied
from search.ray_backend.task import Note, SessionEnd, pack_report
from search.ray_backend.watchdog import Watchdog
from tests.search.study_on_curves import metrics
from tests.search.tasks import make_task, result_of

EPOCH = replace(metrics(1, 0.5), wall_s=1.0)


class Tune:
    """Calls back as Ray's controller does, every second of a clock of its own."""

    def __init__(self) -> None:
        self.now, self.killed, self.noted = 0.0, list[str](), list[str]()
        watchdog = Watchdog(20.0, clock=lambda: self.now)
        self.callback = WatchdogCallback(
            watchdog, lambda training: [EPOCH], self.note, self.killed.append
        )

    def tell(self, event: str, trial: Any, **more: Any) -> None:
        getattr(self.callback, f"on_trial_{event}")(
            iteration=0, trials=[trial], trial=trial, **more
        )

    def note(self, training: Any, reason: str) -> None:
        self.noted.append(f"{training} {reason}")

    def wait(self, seconds: int, *trials: Any) -> None:
        for _ in range(seconds):
            self.now += 1.0
            self.callback.on_step_end(iteration=0, trials=list(trials))


def trial(number: int, actor: str | None, repeat: int | None = None) -> Any:
    config = make_task(number, repeat).to_ray()
    state = SimpleNamespace(ray_actor=actor)
    return SimpleNamespace(config=config, temporary_state=state, status="PENDING")


@pytest.mark.parametrize("repeat", [None, 2])
def test_a_silent_worker_is_killed_once_and_the_next_one_too(repeat):
    tune, silent, lively = Tune(), trial(3, "first", repeat), trial(4, "other")
    tune.tell("start", silent)
    tune.tell("start", lively)
    for _ in range(5):
        tune.wait(10)
        tune.tell("result", lively, result=result_of(EPOCH))
    assert tune.killed == ["first"]
    tune.tell("recover", silent)
    tune.wait(10)
    tune.tell("result", lively, result=result_of(EPOCH))
    silent.temporary_state.ray_actor = "second"
    tune.tell("start", silent)
    tune.tell("complete", lively)
    tune.wait(100)
    assert tune.killed == ["first", "second"]


@pytest.mark.parametrize("event", ["complete", "error", "recover"])
def test_what_has_ended_is_left_alone(event):
    tune, ended = Tune(), trial(3, "first")
    tune.tell("start", ended)
    tune.tell(event, ended)
    tune.wait(100)
    assert tune.killed == []


def test_a_worker_that_went_by_itself_is_not_killed():
    tune, gone = Tune(), trial(3, None)
    tune.tell("start", gone)
    tune.wait(100)
    assert tune.killed == []


def test_who_waits_for_images_is_watched_from_when_they_have_come():
    tune, waiting = Tune(), trial(3, "first")
    tune.tell("start", waiting)
    tune.tell("result", waiting, result=pack_report(Note(text="waits for tiny", waiting=True)))
    tune.wait(100)
    assert tune.killed == []
    tune.tell("result", waiting, result=pack_report(Note(text="has its images", waiting=False)))
    tune.wait(100)
    assert tune.killed == ["first"]


def test_a_trial_that_waits_too_long_for_a_worker_is_reported_once():
    tune, late, served = Tune(), trial(3, None), trial(4, "first")
    served.status = "RUNNING"
    tune.wait(20, late, served)
    assert tune.noted == []
    tune.wait(40, late, served)
    assert tune.noted == ["trial-0003 has waited 21 s for a worker"]


def test_one_that_gets_a_worker_in_time_is_not():
    tune, prompt = Tune(), trial(3, None)
    for _ in range(3):
        prompt.status = "PENDING"
        tune.wait(15, prompt)
        prompt.status = "RUNNING"
        tune.wait(15, prompt)
    assert tune.noted == []


def test_a_tick_ends_the_loop_once_ray_has_died_and_no_observer_hears_of_it(tmp_path):
    ticks = []
    heartbeat = Heartbeat(lambda: None, lambda reason: None)
    observer = SimpleNamespace(tick=lambda: ticks.append(1))
    callback = TickCallback(observer, heartbeat, SessionEnd(tmp_path))  # type: ignore[arg-type]
    callback.on_step_end(iteration=0, trials=[])
    heartbeat.report("its GCS has ended")
    with pytest.raises(RayDied):
        callback.on_step_end(iteration=1, trials=[])
    assert ticks == [1]
    assert not isinstance(RayDied(), Exception), "Tune would tidy up in a dead Ray"


def test_a_tick_ends_the_loop_and_has_trainings_saved_once_the_time_is_up(tmp_path):
    left_s = [5.0]
    ending = SessionEnd(tmp_path, lambda: left_s[0] <= 0)
    heartbeat = Heartbeat(lambda: None, lambda reason: None)
    callback = TickCallback(SimpleNamespace(tick=lambda: None), heartbeat, ending)  # type: ignore[arg-type]
    request = tmp_path / "checkpoints" / ".save"
    callback.on_step_end(iteration=0, trials=[])
    assert not ending.event.is_set()
    assert not request.exists()
    left_s[0] = -0.1
    callback.on_step_end(iteration=1, trials=[])
    assert ending.event.is_set()
    assert request.exists()
    SessionEnd(tmp_path)
    assert not request.exists(), "the next session takes back what a killed one has left"
