"""Pages are rendered when something is new, and no more often than the machine can spare."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest

from common.errors import RecordError
from results.live.pages import AHEAD_S, MOST, Pages
from results.store import TRIALS, RunError


class Clock:
    """A clock that a rendering moves on, for trials that a run has."""

    def __init__(self, *, trials: int = 10**6) -> None:
        self.now, self.renders, self.trials = 0.0, 0, trials
        self.cost_s = 2.0

    def __call__(self) -> float:
        return self.now

    def render(self, trial: int | None) -> str:
        self.renders += 1
        self.now += self.cost_s
        if trial is not None and trial >= self.trials:
            raise RunError(f"the run has no trial {trial} yet; ask for another one.")
        return f"<body>{trial}: {self.renders}</body>"


def text(pages: Pages, trial: int | None) -> str:
    """What is inside of a page."""
    found = re.search("<body[^>]*>(.*)</body>", gzip.decompress(pages.page(trial).packed).decode())
    assert found
    return found[1]


def change(folder: Path) -> None:
    with (folder / TRIALS).open("a", encoding="utf-8") as file:
        file.write("x")


def test_nothing_is_rendered_while_nothing_is_new(tmp_path: Path) -> None:
    clock = Clock()
    pages = Pages(tmp_path, clock.render, clock)
    assert [text(pages, None) for _ in range(3)] == ["None: 1"] * 3
    clock.now += 1000
    assert text(pages, None) == "None: 1"
    assert text(pages, 7) == "7: 2"


def test_rendering_takes_a_tenth_of_the_time_at_most(tmp_path: Path) -> None:
    clock = Clock()
    pages = Pages(tmp_path, clock.render, clock)
    text(pages, None)
    seen = pages.version(None)
    change(tmp_path)
    clock.now += 17.9  # and 2 for the rendering
    assert (pages.version(None), text(pages, None)) == (seen, "None: 1")
    clock.now += 0.2
    assert pages.version(None) != seen
    assert text(pages, None) == "None: 2"


@pytest.mark.parametrize("trials", [10**6, 0], ids=["trials", "trials that don't exist"])
def test_all_pages_together_take_a_tenth_of_the_time(tmp_path: Path, trials: int) -> None:
    """However many are asked for, in whatever order, while the files change all the time."""
    clock = Clock(trials=trials)
    pages = Pages(tmp_path, clock.render, clock)
    for number in range(1500):
        change(tmp_path)
        text(pages, number % 500 if number % 3 else None)
        clock.now += 0.5
    spent = clock.renders * clock.cost_s
    assert spent <= 0.1 * clock.now + AHEAD_S + clock.cost_s
    assert spent >= 0.1 * clock.now


def test_a_page_that_is_opened_comes_at_once_and_each_of_five_is_updated(tmp_path: Path) -> None:
    clock = Clock()
    pages = Pages(tmp_path, clock.render, clock)
    tabs = [None, 3, 1, 4, 5]
    assert [text(pages, tab) for tab in tabs] == [f"{tab}: {n}" for n, tab in enumerate(tabs, 1)]
    assert clock.now == 10.0
    updates = dict.fromkeys(tabs, 0)
    shown = {tab: pages.version(tab) for tab in tabs}
    while clock.now < 1000.0:  # each tab asks every 2 s, always in the same order
        change(tmp_path)
        for tab in tabs:
            if (version := pages.version(tab)) != shown[tab]:
                updates[tab] += 1
                text(pages, tab)
                shown[tab] = pages.version(tab)
                assert shown[tab] == version
        clock.now += 2
    assert set(updates.values()) == {9}  # in rounds of 100 s


def test_a_page_for_which_there_is_no_time_says_so(tmp_path: Path) -> None:
    clock = Clock()
    clock.cost_s = AHEAD_S
    pages = Pages(tmp_path, clock.render, clock)
    assert text(pages, None) == "None: 1"
    assert text(pages, 1) == "1: 2"
    assert "Trainings come first: this page comes in about 180 s." in text(pages, 2)
    assert b'http-equiv="refresh"' in gzip.decompress(pages.page(2).packed)
    assert (pages.version(2), clock.renders) == (None, 2)
    clock.now += 81
    assert text(pages, 2) == "2: 3"


def test_pages_of_trials_that_dont_exist_arent_kept(tmp_path: Path) -> None:
    clock = Clock(trials=MOST - 1)
    clock.cost_s = 0.001
    pages = Pages(tmp_path, clock.render, clock)
    there = [None, *range(MOST - 1)]
    for tab in there:
        assert pages.page(tab).found
    for number in range(500, 1500):
        page = pages.page(number)
        assert not page.found
        assert b"refresh" not in gzip.decompress(page.packed)  # no tab asks for it for ever
    renders = clock.renders
    assert renders == MOST + 1000
    for tab in there:
        assert pages.page(tab).found
    assert clock.renders == renders


def test_only_the_pages_that_were_asked_for_last_are_kept(tmp_path: Path) -> None:
    clock = Clock()
    clock.cost_s = 0.001
    pages = Pages(tmp_path, clock.render, clock)
    for number in range(1000):
        text(pages, number)
        pages.version(0)  # an open tab
    assert clock.renders == 1000
    kept = [0, *range(1001 - MOST, 1000)]
    for number in kept:
        text(pages, number)
    assert clock.renders == 1000
    text(pages, 1000 - MOST)
    assert clock.renders == 1001


def test_a_page_holds_the_version_of_the_files_that_it_shows(tmp_path: Path) -> None:
    clock = Clock()
    pages = Pages(tmp_path, clock.render, clock)
    packed = pages.page(None).packed
    change(tmp_path)
    clock.now += 1000
    found = re.search(rb'<body data-version="(\w+)">', gzip.decompress(packed))
    assert found
    assert found[1].decode() != pages.version(None)  # so the browser learns of the change
    pages.page(None)
    assert f'"{pages.version(None)}"'.encode() in gzip.decompress(pages.page(None).packed)


def test_a_page_that_is_there_waits_for_no_other_one(tmp_path: Path) -> None:
    begun, goes_on = Event(), Event()

    def render(trial: int | None) -> str:
        if trial is not None:
            begun.set()
            assert goes_on.wait(60)
        return f"<body>{trial}</body>"

    pages = Pages(tmp_path, render)
    text(pages, None)
    other = Thread(target=text, args=(pages, 1))
    other.start()
    assert begun.wait(60)
    try:
        assert text(pages, None) == "None"
    finally:
        goes_on.set()
        other.join()


def test_browsers_that_ask_at_once_share_a_rendering(tmp_path: Path) -> None:
    clock, barrier = Clock(), Barrier(8)
    pages = Pages(tmp_path, clock.render, clock)

    def ask() -> None:
        barrier.wait()
        pages.page(None)

    threads = [Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert clock.renders == 1


def failing(error: Exception) -> Callable[[int | None], str]:
    def render(_: int | None) -> str:
        raise error

    return render


def test_records_that_cant_be_read_are_told_on_the_page(tmp_path: Path) -> None:
    error = RecordError("line 3 <is> damaged; restore it, user https://u:secret@host.")
    shown = text(Pages(tmp_path, failing(error)), None)
    assert "line 3 &lt;is&gt; damaged; restore it" in shown
    assert "secret" not in shown
    lost = FileNotFoundError(2, "No such file or directory", "trials.jsonl")
    assert "No such file" in text(Pages(tmp_path, failing(lost)), None)


def test_a_rendering_that_breaks_off_counts(tmp_path: Path) -> None:
    clock = Clock()

    def render(trial: int | None) -> str:
        clock.render(trial)
        raise ZeroDivisionError

    pages = Pages(tmp_path, render, clock)
    for _ in range(100):
        try:
            pages.page(None)
        except ZeroDivisionError:
            continue
    assert clock.renders * clock.cost_s <= AHEAD_S + clock.cost_s
