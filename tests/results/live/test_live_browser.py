"""A live page in a real browser: what is new comes, and what a reader did stays."""

import asyncio
from pathlib import Path
from threading import Thread

import pytest

from results.live.serve import listen, url_of
from results.live.server import PageServer
from results.records import TrialState
from results.store import RunStore
from tests.results.example_run import Made, make_run
from tests.results.example_search import ADAMW, MANIFEST, RANGES, SIX, six
from tests.results.page.browser import DRAWN, opened
from tests.search.study_on_curves import metrics

pytestmark = pytest.mark.slow

DO = """(() => {
  Plotly.relayout(document.querySelector('[data-figure="curves"]'), {"yaxis.range": [0.2, 0.3]});
  document.querySelectorAll("#table button")[7].click();
  document.querySelectorAll("#table button")[7].click();
  const words = document.getElementById("words");
  words.value = "adamw"; words.dispatchEvent(new Event("input"));
  words.focus(); words.setSelectionRange(1, 3);
  document.querySelector("details").open = true;
  document.querySelector(".scroll.tall").scrollLeft = 37;
  scrollTo({ top: 1234, behavior: "instant" });
})()"""
SEEN = """(() => {
  const rows = [...document.querySelectorAll("#table tbody tr:not([hidden])")];
  const words = document.getElementById("words");
  return {
    range: document.querySelector('[data-figure="curves"]').layout.yaxis.range,
    trials: rows.map((row) => Number(row.cells[0].dataset.key)),
    words: [words.value, document.activeElement === words],
    cursor: [words.selectionStart, words.selectionEnd],
    open: document.querySelector("details").open,
    scrolled: [document.querySelector(".scroll.tall").scrollLeft, scrollY],
    sort: document.querySelectorAll("#table th")[7].getAttribute("aria-sort"),
  };
})()"""
HIDE = 'Object.defineProperty(document, "hidden", { value: HIDDEN, configurable: true })'
HEADLINE = 'document.querySelector(".headline").textContent'


def test_a_page_updates_under_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Made(params=ADAMW, values=[0.15], state=TrialState.RUNNING)
    run = make_run(tmp_path / "run", RANGES, [*SIX[:5], running], 4, MANIFEST)
    store = RunStore(run)
    listening = listen("127.0.0.1", 0)
    server = PageServer(listening, run, None)
    answered = []
    answer = server.pages.version
    monkeypatch.setattr(
        server.pages, "version", lambda trial: (answered.append(trial), answer(trial))[1]
    )
    Thread(target=server.serve_forever, daemon=True).start()

    async def look() -> None:
        async with opened(url_of(listening), tmp_path / "profile") as page:
            await page.wait_for(DRAWN)
            await page.wait_for('document.getElementById("live").textContent.includes("running")')
            await page.evaluate(DO)
            before = await page.evaluate(SEEN)
            assert before["range"] == [0.2, 0.3]
            assert before.pop("trials") == [2, 0, 5]
            assert before["scrolled"][1] == 1234
            store.add_epoch(5, metrics(2, 0.9))
            await page.wait_for(f'{HEADLINE}.includes("Trial 5 reaches 90.0")')
            await page.wait_for(
                """document.querySelector('[data-figure="curves"]').data.at(-1).name
                .includes("best: trial 5")"""
            )
            after = await page.evaluate(SEEN)
            assert after.pop("trials") == [2, 5, 0]  # sorted by lr, of equal ones the better first
            assert after == before
            await page.evaluate(HIDE.replace("HIDDEN", "true"))
            await asyncio.sleep(2.5)  # one question may be on its way
            answered.clear()
            await asyncio.sleep(5)
            assert answered == []  # nobody sees the page
            await page.evaluate(HIDE.replace("HIDDEN", "false"))
            await page.wait_for('document.getElementById("live").textContent.includes("running")')
            await page.evaluate("""document.querySelector('a[href="trial/5"]').click()""")
            await page.wait_for('location.pathname === "/trial/5"')
            await page.wait_for(DRAWN)
            assert await page.evaluate('document.querySelector("h1").textContent') == (
                "Trial 5, the best"
            )
            store.add_epoch(5, metrics(3, 0.95))
            await page.wait_for('document.querySelectorAll("#epochs tbody tr").length === 3')
            server.shutdown()
            server.server_close()
            await page.wait_for(
                'document.getElementById("live").textContent.includes("no longer live")'
            )
            assert [each for each in page.errors if "ERR_CONNECTION_REFUSED" not in each] == []

    try:
        asyncio.run(look())
    finally:
        store.close()


def test_a_link_on_another_site_opens_a_page_that_asks_for_a_token(tmp_path: Path) -> None:
    """A cookie that is `SameSite=Strict` isn't sent after the redirect from `?token=`."""
    run, listening = six(tmp_path / "run"), listen("127.0.0.1", 0)
    server = PageServer(listening, run, "s3cret")
    Thread(target=server.serve_forever, daemon=True).start()
    place = url_of(listening, "s3cret").replace("127.0.0.1", "localhost")
    other = tmp_path / "other.html"
    other.write_text(f'<a href="{place}">the page</a>', encoding="utf-8")

    async def look() -> None:
        async with opened(other, tmp_path / "profile") as page:
            await page.wait_for('document.querySelector("a") !== null')
            await page.evaluate('document.querySelector("a").click()')
            await page.wait_for('location.pathname === "/" && document.readyState === "complete"')
            assert await page.evaluate("location.search") == ""
            text = await page.evaluate("document.body.textContent")
            assert "Hyperparameter search" in text, text
            await page.wait_for(DRAWN)
            assert page.errors == []

    try:
        asyncio.run(look())
    finally:
        server.shutdown()
        server.server_close()
