"""Texts for people: without secrets, cut to what an error says, with durations they can read.

Secrets are taken out of all that a run keeps or shows, for what it records is handed on to others.

Hidden are the user part of an address (`s3://KEY:SECRET@bucket`), values that are named like a
secret (`secret_key=…`, `"token": "…"`, `X-Amz-Signature=…`), AWS key ids, what follows `Bearer`,
and wherever they stand the values of environment variables that are named so.
"""

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote

HIDDEN = "***"

_NAME = (
    r"[\w.-]*(?:secret|passw(?:or)?d|token|credential|signature|(?:api|access|account)[_-]?key)"
    r"[\w.-]*|sig"
)
_ADDRESS_USER = r"[^\s/@'\"]+|[^\s/:@'\"]+:(?!\d+/)[^\s@'\"]*"
"""Whatever stands before an @; with a colon, in which a secret may have its slashes unquoted."""

_PATTERNS = (
    (re.compile(rf"\b([a-z][a-z0-9+.-]*://)(?:{_ADDRESS_USER})@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    (
        re.compile(rf"\b({_NAME})(['\"]?\s?[=:]\s?['\"]?)[^\s&,;'\"`]{{6,}}", re.IGNORECASE),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"\b(bearer\s+)[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), HIDDEN),
)

_VARIABLE = re.compile(r"(KEY|KEY_ID|SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_SHORTEST = 8
"""Characters of a variable's value from which it is looked for: shorter ones occur by chance."""


def redacted(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text with every secret in it as `HIDDEN`."""
    for name, value in environment.items():
        if len(value) >= _SHORTEST and _VARIABLE.search(name):
            for secret in (value, quote(value, safe="")):
                text = text.replace(secret, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def redacted_values(value: Any) -> Any:
    """The same in all texts of plain values, also inside of lists and mappings."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {key: redacted_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted_values(item) for item in value]
    return value


SAID_LINES, SAID_LENGTH = 5, 500
"""Lines and characters of an error that `last_lines` gives: CUDA's say in the first what happened
and in three more how to find out where."""


def last_lines(text: str) -> str:
    """The lines after the last indented one, as one: of a traceback, all that the error says.

    Where they are many, the first of them, which names the error, and the last. Without secrets:
    what an error says is recorded.
    """
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    indented = [index for index, line in enumerate(lines) if line[0].isspace()]
    said = (lines[indented[-1] + 1 :] if indented else lines) or lines[-1:] or ["without a word"]
    told = said if len(said) <= SAID_LINES else [said[0], "…", *said[1 - SAID_LINES :]]
    whole = redacted(" ".join(line.strip() for line in told))
    return whole if len(whole) <= SAID_LENGTH else whole[: SAID_LENGTH - 1] + "…"


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """The word that was probably meant, as a question; `otherwise` where there is none."""
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else otherwise


def format_duration(seconds: float) -> str:
    """12 s, 34 min, 5 h 07 min, in the largest unit that fits."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def format_clock(seconds: float) -> str:
    """Hours, minutes and seconds; days where there are some."""
    minutes, s = divmod(int(seconds), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    if days:
        return f"{days} d {h}:{m:02d}:{s:02d}"
    return f"{h}:{m:02d}:{s:02d}" if h else f"{m}:{s:02d}"


def format_measured_time(seconds: float) -> str:
    """For people, to three digits."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
