"""What Tune tells the watchdog, and whom the watchdog has Ray kill."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from search.ray_backend.callbacks import WatchdogCallback
from search.ray_backend.task import Note, pack_report
from search.ray_backend.watchdog import Watchdog
from tests.search.study_on_curves import metrics
from tests.search.tasks import make_task, result_of

EPOCH = replace(metrics(1, 0.5), wall_s=1.0)


class Tune:
    """Calls back as Ray's controller does, every second of a clock of its own."""

    def __init__(self) -> None:
        self.now, self.killed = 0.0, list[str]()
        watchdog = Watchdog(20.0, clock=lambda: self.now)
        self.callback = WatchdogCallback(watchdog, lambda training: [EPOCH], self.killed.append)

    def tell(self, event: str, trial: Any, **more: Any) -> None:
        getattr(self.callback, f"on_trial_{event}")(
            iteration=0, trials=[trial], trial=trial, **more
        )

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1.0
            self.callback.on_step_end(iteration=0, trials=[])


def trial(number: int, actor: str | None, repeat: int | None = None) -> Any:
    config = make_task(number, repeat).to_ray()
    return SimpleNamespace(config=config, temporary_state=SimpleNamespace(ray_actor=actor))


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
