"""Who is told of what, and whose failure ends a search."""

from contextlib import suppress

import pytest

from results.records import TrainingId, TrialRecord, TrialState
from results.side_store import SteeringAction, SteeringRecord
from search.study.observer import Observer, Observers
from search.study.proposer import Proposal
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig

TRAINING = TrainingId(3)
PROPOSAL = Proposal(training=TRAINING, config=TrialConfig(network="resnet10"))
RECORD = TrialRecord(number=3, state=TrialState.COMPLETE, params={}, config={})
STEERED = SteeringRecord(
    action=SteeringAction.STOP, words="stop 3", answer="", at="", session=1, session_s=0.0
)
EVENTS = {
    "began": lambda to: to.began(PROPOSAL, 0.5),
    "placed": lambda to: to.placed(TRAINING, ("a/0",)),
    "noted": lambda to: to.noted(TRAINING, "waits"),
    "measured": lambda to: to.measured(RECORD),
    "first_step": lambda to: to.first_step(12.5),
    "epoch": lambda to: to.epoch(TRAINING, metrics(1, 0.5), new=True),
    "retried": lambda to: to.retried(PROPOSAL, RECORD),
    "moved": lambda to: to.moved(TRAINING, 4),
    "ended": lambda to: to.ended(RECORD),
    "steered": lambda to: to.steered(STEERED),
    "tick": lambda to: to.tick(),
    "closed": lambda to: to.closed(),
}


def public(observer: type) -> set[str]:
    return {name for name in vars(observer) if not name.startswith("_")}


def listening(name: str, heard: list, broken: tuple[str, ...] = ()) -> Observer:
    """An observer that notes (its name, event, what it was told), and breaks at some events."""

    def note(event: str):
        def hear(self: object, *told: object, **more: object) -> None:
            if event in broken:
                raise OSError("no disk")
            heard.append((name, event, told, more))

        return hear

    made = {event: note(event) for event in EVENTS} | {"__str__": lambda self: name}
    return type("Listening", (Observer,), made)()


def test_all_events_are_known_here() -> None:
    assert public(Observer) == public(Observers) == set(EVENTS)


@pytest.mark.parametrize("event", EVENTS)
def test_every_observer_is_told_the_same_in_order(event: str) -> None:
    heard: list = []
    first, second = listening("first", heard), listening("second", heard)
    third = listening("third", heard)
    EVENTS[event](Observers((first, second), (third,), pytest.fail))
    alone: list = []
    EVENTS[event](listening("alone", alone))
    assert [who for who, *_ in heard] == ["first", "second", "third"]
    assert {what for _, what, *_ in heard} == {event}
    assert [told for _, _, *told in heard] == [told for _, _, *told in alone] * 3


@pytest.mark.parametrize("event", EVENTS)
def test_an_observer_may_pass_over_everything(event: str) -> None:
    EVENTS[event](Observer())


def test_an_optional_observer_that_fails_is_left_out_and_told_once() -> None:
    heard: list = []
    said: list[str] = []
    broken, whole = listening("Tracker", heard, ("epoch",)), listening("whole", heard)
    observers = Observers((), (broken, whole), said.append)
    for event in ("began", "epoch", "epoch", "ended"):
        EVENTS[event](observers)
    assert [event for who, event, *_ in heard if who == "Tracker"] == ["began"]
    assert [event for who, event, *_ in heard if who == "whole"] == [
        "began", "epoch", "epoch", "ended",
    ]  # fmt: skip
    assert said == ["Tracker fails, and the search goes on without it: OSError: no disk"]


def test_what_a_required_observer_raises_ends_the_search() -> None:
    heard: list = []
    required = listening("backup", heard, ("epoch",))
    observers = Observers((required,), (listening("other", heard),), pytest.fail)
    with pytest.raises(OSError, match="no disk"):
        EVENTS["epoch"](observers)
    assert heard == []


def test_ctrl_c_is_nobody_s_failure() -> None:
    class Interrupted(Observer):
        def tick(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Observers((), (Interrupted(),), pytest.fail).tick()


@pytest.mark.parametrize("error", [None, RuntimeError("the loop ended")])
def test_observers_are_told_of_the_end_however_it_comes(error: Exception | None) -> None:
    heard: list = []
    with suppress(RuntimeError), Observers((listening("one", heard),), (), pytest.fail):
        if error:
            raise error
    assert [event for _, event, *_ in heard] == ["closed"]
