"""Renders pages as single HTML files that make no network requests.

Plotly is embedded once, compressed to 1.5 MB from 4.8 MB, and the browser unpacks it. A content
security policy in the page prevents requests whatever the texts of a run contain.
"""

import base64
import gzip
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from results.page.figure import Section

HERE = Path(__file__).parent

DIGITS = 6
"""Figures hold numbers with this many significant digits: more than a screen has pixels, and half
the size of all digits.
"""


def render(
    template: str,
    *,
    sections: Iterable[Section],
    live: bool = False,
    root: str = "",
    **values: Any,
) -> str:
    """Renders a page from one of the templates in this folder. `values` are the template's
    variables beside the sections, their figures and the assets.

    live: whether a server sends the page (`results.live`), which then updates itself and loads
        Plotly from there. `root` leads from the page to the server's first one.
    """
    sections = list(sections)
    return (
        _environment(autoescape=True)
        .get_template(template)
        .render(
            sections=sections,
            figures=_script_json(figures(sections)),
            plotly="" if live else _packed_plotly(),
            live=live,
            root=root,
            update=_asset("live.js") if live else "",
            style=_asset("page.css"),
            script=_asset("page.js"),
            **values,
        )
    )


def render_markdown(template: str, **values: Any) -> str:
    """Renders a text from one of the templates in this folder, with `values` as its variables."""
    return _environment(autoescape=False).get_template(template).render(**values)


def _environment(*, autoescape: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=autoescape,  # noqa: S701  # Markdown needs its own escaping, see `_plain`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not autoescape,
    )
    environment.filters |= {
        # A no-break space keeps a number and its per cent sign on one line.
        "tight": lambda text: text.replace(" %", "\u00a0%"),
        "thousands": lambda number: f"{number:,}",
        "json": json.dumps,
        "md": _plain,
    }
    return environment


def _plain(text: object) -> str:
    """Returns a run's text on one line, with the characters escaped that have a meaning in
    Markdown.
    """
    line = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", line)


def figures(sections: Iterable[Section]) -> dict[str, Any]:
    """Returns each panel's data and layout by its key. Plotly's own template is left out, because
    the page has its theme.
    """
    found = {}
    for section in sections:
        for panel in section.panels:
            figure = panel.figure.to_plotly_json()
            figure["layout"].pop("template", None)
            found[panel.key] = _round({"data": figure["data"], "layout": figure["layout"]})
    return found


def _round(value: Any) -> Any:
    """Returns a figure's content with its numbers rounded to `DIGITS`."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _round(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return [_round(item) for item in value] if isinstance(value, list | tuple) else value


def _script_json(value: Any) -> str:
    """Returns JSON that can stand within a <script> element: the characters <, > and & are escaped,
    so that nothing in the text ends the element.
    """
    text = json.dumps(value, cls=PlotlyJSONEncoder, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


@cache
def _packed_plotly() -> str:
    packed = gzip.compress(get_plotlyjs().encode(), compresslevel=9, mtime=0)
    return base64.b64encode(packed).decode()


def _asset(name: str) -> str:
    return (HERE / "templates" / name).read_text(encoding="utf-8")
