"""Pages are rendered when something is new, and no more often than the machine can spare."""

from pathlib import Path

from common.errors import RecordError
from results.live.pages import Pages
from results.store import TRIALS


class Clock:
    """A clock that a rendering moves on."""

    def __init__(self) -> None:
        self.now, self.renders = 0.0, 0

    def __call__(self) -> float:
        return self.now

    def render(self, trial: int | None) -> str:
        self.renders += 1
        self.now += 2.0
        return f"{trial}: {self.renders}"


def change(folder: Path) -> None:
    with (folder / TRIALS).open("a", encoding="utf-8") as file:
        file.write("x")


def test_nothing_is_rendered_while_nothing_is_new(tmp_path: Path) -> None:
    clock = Clock()
    pages = Pages(tmp_path, clock.render, clock)
    assert [pages.page(None) for _ in range(3)] == ["None: 1"] * 3
    clock.now += 1000
    assert pages.page(None) == "None: 1"
    assert pages.page(7) == "7: 2"


def test_rendering_takes_a_tenth_of_the_time_at_most(tmp_path: Path) -> None:
    clock = Clock()
    pages = Pages(tmp_path, clock.render, clock)
    pages.page(None)
    seen = pages.version(None)
    change(tmp_path)
    clock.now += 17.9  # and 2 for the rendering
    assert (pages.version(None), pages.page(None)) == (seen, "None: 1")
    clock.now += 0.2
    assert pages.version(None) != seen
    assert pages.page(None) == "None: 2"


def test_records_that_cant_be_read_are_told_on_the_page(tmp_path: Path) -> None:
    def render(_: int | None) -> str:
        raise RecordError("line 3 <is> damaged; restore it, user https://u:secret@host.")

    text = Pages(tmp_path, render).page(None)
    assert "line 3 &lt;is&gt; damaged; restore it" in text
    assert "secret" not in text
