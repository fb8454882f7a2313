"""Pages in a real browser: nothing in its console, every figure drawn, sorting, size and time."""

import asyncio
import time
from pathlib import Path

import pytest

from results.compare import write_comparison
from results.final import write_pages
from results.report import write_report
from tests.results.example_final import drawn, make_final
from tests.results.example_search import many, six
from tests.results.page.browser import DRAWN, Page, opened

pytestmark = pytest.mark.slow

UNDRAWN = """[...document.querySelectorAll(".plot")].filter((place) => {
  const drawing = place.querySelector(".main-svg");
  return !drawing || drawing.getBoundingClientRect().width < 100;
}).map((place) => place.dataset.figure)"""
FIRST = """[...document.querySelectorAll("#table tbody tr:not([hidden])")]
  .map((row) => Number(row.cells[0].dataset.key))"""
PICTURES = """(() => {
  const all = [...document.querySelectorAll(".pictures img")];
  return [all.length, all.filter((image) => image.naturalWidth !== 64).length];
})()"""
CLASSES = """(() => {
  document.querySelectorAll("#table button")[1].click();
  return [...document.querySelectorAll("#table tbody tr")]
    .map((row) => Number(row.cells[1].dataset.key));
})()"""
WIDER = "document.documentElement.scrollWidth - window.innerWidth"


def click(column: str) -> str:
    """Clicks on the head of a column of the trials' table; the trials in their new order."""
    return f"""(() => {{
      [...document.querySelectorAll("#table button")]
        .find((button) => button.textContent === "{column}").click();
      return {FIRST};
    }})()"""


def choose(element: str, value: str, event: str) -> str:
    """Sets a field above the table; the trials then shown."""
    return f"""(() => {{
      const field = document.getElementById("{element}");
      field.value = "{value}"; field.dispatchEvent(new Event("{event}"));
      return {FIRST};
    }})()"""


def test_a_report_in_a_browser(tmp_path: Path) -> None:
    path = write_report(many(tmp_path / "many", 40))

    async def look() -> None:
        async with opened(path, tmp_path / "profile") as page:
            await page.wait_for(DRAWN)
            await drawn_without_a_word(page, figures=12)
            await sorted_and_filtered(page)
            for theme, ground in (("dark", "rgb(20, 23, 28)"), ("light", "rgb(251, 251, 249)")):
                await page.theme(theme)
                await page.wait_for(DRAWN)
                assert (
                    await page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
                )
            await page.resize(390, 844, phone=True)
            assert await page.evaluate(WIDER) <= 0
            assert page.errors == []

    asyncio.run(look())


async def drawn_without_a_word(page: Page, figures: int) -> None:
    assert page.errors == []
    assert await page.evaluate("document.querySelectorAll('.plot').length") >= figures
    assert await page.evaluate(UNDRAWN) == []


async def sorted_and_filtered(page: Page) -> None:
    as_written = await page.evaluate(FIRST)
    assert len(as_written) == 40
    assert await page.evaluate(click("trial")) == list(range(40))
    assert await page.evaluate(click("trial")) == list(range(39, -1, -1))
    assert (await page.evaluate(click("val_top1")))[0] == as_written[0]
    shown = await page.evaluate(choose("outcome", "complete", "change"))
    assert 0 < len(shown) < 40
    assert (
        await page.evaluate("document.getElementById('shown').textContent") == f"{len(shown)} of 40"
    )
    fewer = await page.evaluate(choose("words", "sgd", "input"))
    assert 0 < len(fewer) < len(shown)
    # Trials without the parameter come last, whichever way it is sorted.
    await page.evaluate(choose("outcome", "", "change"))
    await page.evaluate(choose("words", "", "input"))
    last = [(await page.evaluate(click("momentum")))[-1] for _ in range(2)]
    lacking = await page.evaluate(choose("words", "adamw", "input"))
    assert set(last) <= set(lacking)


def test_a_comparison_in_a_browser(tmp_path: Path) -> None:
    path = write_comparison([many(tmp_path / "many", 20), six(tmp_path / "six")])

    async def look() -> None:
        async with opened(path, tmp_path / "profile") as page:
            await page.wait_for(DRAWN)
            await drawn_without_a_word(page, figures=2)

    asyncio.run(look())


def test_a_final_model_in_a_browser(tmp_path: Path) -> None:
    """The names of 30 classes fit into the figure, and all pictures are there."""
    names = tuple(f"a class with the long name {number}" for number in range(30))
    path, _ = write_pages(make_final(tmp_path / "final", drawn(900, 30), names))

    async def look() -> None:
        async with opened(path, tmp_path / "profile") as page:
            await page.wait_for(DRAWN)
            await drawn_without_a_word(page, figures=3)
            assert await page.evaluate(PICTURES) == [90, 0]
            by_accuracy = await page.evaluate(CLASSES)
            assert by_accuracy == sorted(by_accuracy, reverse=True)
            for width in (1280, 390):
                await page.resize(width, 844, phone=width < 500)
                assert await page.evaluate(WIDER) <= 0
            assert page.errors == []

    asyncio.run(look())


def test_what_a_page_does_wrong_is_noticed(tmp_path: Path) -> None:
    """A page that asks the network for something, and one that throws, leave their words."""
    path = tmp_path / "bad.html"
    policy = "default-src 'none'; script-src 'unsafe-inline'"
    throwing = "setTimeout(() => { document.title = 'done'; throw new Error('thrown'); }, 50)"
    path.write_text(
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<img src="https://example.invalid/x.png"><script>{throwing}</script>',
        encoding="utf-8",
    )

    async def look() -> None:
        async with opened(path, tmp_path / "profile") as page:
            await page.wait_for("document.title === 'done'")
            await asyncio.sleep(1)
            assert any("Content Security Policy" in each for each in page.errors)
            assert any("thrown" in each for each in page.errors)

    asyncio.run(look())


def test_500_trials_make_a_page_that_can_be_sent(tmp_path: Path) -> None:
    """At most 8 MB, made in at most 10 seconds of one core."""
    directory = many(tmp_path / "many", 500, more=8)
    began = time.process_time()
    path = write_report(directory)
    assert time.process_time() - began < 10
    assert path.stat().st_size < 8_000_000
