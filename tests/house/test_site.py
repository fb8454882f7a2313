"""The site: all pages are in its navigation, all links lead somewhere, nothing is from elsewhere.

The pages are written for GitHub; the site must show the same of them.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import markdown
import pytest
import yaml
from markdown_it import MarkdownIt

from tests.house.pages import ROOT
from tests.results.page.browser import opened
from tools.site import on_page_content, site_files

# yaml.unsafe_load, because the file names a function, as MkDocs wants it: it is our own.
CONFIG = yaml.unsafe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
MARKDOWN = [name for name in site_files() if name.endswith(".md")]
LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
"""The attributes by which a tag makes a browser load something."""


class Seen(HTMLParser):
    """What one page has: links, what it loads, ids, and how its blocks lie in lists."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.blocks: Counter[tuple[str, int]] = Counter()
        self.words: list[str] = []
        self._depth = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if LOADED.get(tag) in given:
            self.loaded.append(given[LOADED[tag]])
        if "id" in given:
            self.ids.add(given["id"])
        self._depth += tag == "li"
        if tag in ("ul", "ol", "li", "pre", "table", "td", "h1", "h2", "h3", "h4", "img"):
            self.blocks[tag, self._depth] += 1

    def handle_endtag(self, tag):
        self._depth -= tag == "li"

    def handle_data(self, data):
        self.words += data.split()


def in_navigation(entry):
    """The paths below an entry of the navigation."""
    if isinstance(entry, str):
        return [entry]
    entries = entry if isinstance(entry, list) else entry.values()
    return [path for each in entries for path in in_navigation(each)]


def test_the_navigation_names_every_page_once():
    assert len(MARKDOWN) >= 35
    assert sorted(in_navigation(CONFIG["nav"])) == sorted(MARKDOWN)


@pytest.mark.parametrize("name", MARKDOWN)
def test_links_and_pictures_of_a_page_lead_to_files_of_the_site(name):
    links = re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text(encoding="utf-8"))
    paths = [link.partition("#")[0] for link in links if "://" not in link]
    folder = (ROOT / name).parent
    led = [os.path.relpath((folder / path).resolve(), ROOT) for path in paths if path]
    assert [path for path in led if path not in site_files()] == []


def extensions():
    """(names, settings) of the Markdown extensions, as the library takes them."""
    given = [e if isinstance(e, dict) else {e: {}} for e in CONFIG["markdown_extensions"]]
    settings = {name: dict(values) for each in given for name, values in each.items()}
    settings["toc"]["permalink"] = False
    return list(settings), settings


@pytest.mark.parametrize("name", MARKDOWN)
def test_the_site_shows_the_lists_blocks_and_words_that_github_shows(name):
    """Python's Markdown wants 4 spaces before a list's blocks, and an empty line before lists."""
    text = (ROOT / name).read_text(encoding="utf-8")
    names, settings = extensions()
    site = Seen(markdown.markdown(text, extensions=names, extension_configs=settings))
    github = Seen(MarkdownIt("commonmark").enable("table").render(text))
    assert "".join(site.words) == "".join(github.words)
    assert site.blocks == github.blocks


def test_options_in_a_text_are_marked_and_nothing_else_is():
    html = "<code>a --dry-run --x=1</code> -- <a href='#--y'>--y</a> <code>well--known</code>"
    assert on_page_content(html) == html.replace(
        "--dry-run", '<span class="option">--dry-run</span>'
    ).replace("--x", '<span class="option">--x</span>')


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site, built strictly, in seconds."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_nothing_is_loaded_from_elsewhere_and_every_link_leads_somewhere(built):
    pages = {path: Seen(path.read_text(encoding="utf-8")) for path in built.rglob("*.html")}
    assert len(pages) > len(MARKDOWN)
    for path, page in pages.items():
        if path.name == "404.html":  # its links begin at a server's root
            continue
        assert [url for url in page.loaded if urlsplit(url).netloc] == [], path
        for url in [*page.loaded, *page.links]:
            parts = urlsplit(url)
            if parts.scheme in ("http", "https"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), (path, url)
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].ids | {"__toc"}, (path, url)


def test_no_style_loads_anything_from_elsewhere(built):
    styles = list(built.rglob("*.css"))
    assert len(styles) >= 3
    for path in styles:
        loads = re.findall(
            r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')]+)", path.read_text("utf-8")
        )
        assert loads == [], path


SEARCH = """(() => {
  const field = document.querySelector(".md-search__input");
  field.focus();
  field.value = "plateau";
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.dispatchEvent(new Event("keyup", { bubbles: true }));
})()"""


@pytest.mark.slow
def test_pages_fit_a_phone_and_the_search_works_from_disk(built, tmp_path):
    wider = "document.documentElement.scrollWidth - innerWidth"

    async def look():
        async with opened(built / "index.html", tmp_path / "profile") as page:
            await page.wait_for("document.readyState === 'complete'")
            await page.evaluate(SEARCH)
            await page.wait_for("document.querySelectorAll('.md-search-result__item').length > 1")
            await page.resize(390, 844, phone=True)
            for name in ("docs/reference.html", "results/published/gain.html", "index.html"):
                await page.command("Page.navigate", url=(built / name).as_uri())
                await page.wait_for("document.querySelectorAll('.md-typeset__table').length > 1")
                assert await page.evaluate(wider) <= 0, name
            assert page.errors == []

    asyncio.run(look())
