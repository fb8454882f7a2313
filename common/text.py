"""Makes texts fit to be recorded and shown: without secrets, control characters and excess.

Redaction hides the user part of an address (`s3://KEY:SECRET@bucket`), values whose names denote a
secret (`secret_key=…`, `"token": "…"`, `X-Amz-Signature=…`), AWS key ids, private keys, and what
follows `Bearer`. It also hides the values of environment variables with such names, wherever these
values occur, and in whatever way a program has quoted or escaped them.
"""

import html
import json
import os
import re
import shlex
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "***"
"""Redaction replaces each secret by this text."""

_NAME = (
    r"[\w.-]*(?:secret|passw(?:or)?d|token|credential|signature|(?:api|access|account)[_-]?key)"
    r"[\w.-]*|sig|(?:[\w.-]*[_.-])?(?:pass|pat|pwd)"
)
_ADDRESS_USER = r"[^\s/@'\"]+|[^\s/:@'\"]+:(?!\d+/)[^\s@'\"]*"
"""This pattern matches the user part of an address, which ends before the @. After a colon the part
may contain unquoted slashes, because some secrets do.
"""

_PATTERNS = (
    (re.compile(rf"\b([a-z][a-z0-9+.-]*://)(?:{_ADDRESS_USER})@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    (
        re.compile(
            rf"\b({_NAME})(['\"]?\s?[=:]\s?)(['\"])(?!/)(?:\\.|(?!\3)[^\\]){{6,}}?\3",
            re.IGNORECASE | re.DOTALL,
        ),
        rf"\1\2\3{HIDDEN}\3",
    ),
    (
        re.compile(rf"\b({_NAME})(['\"]?\s?[=:]\s?['\"]?)(?!/)[^\s&,;'\"`]{{6,}}", re.IGNORECASE),
        rf"\1\2{HIDDEN}",
    ),
    (
        re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL),
        HIDDEN,
    ),
    (re.compile(r"\b(bearer\s+)[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), HIDDEN),
)

_VARIABLE = re.compile(
    r"(KEY|KEY_ID|SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIALS?|(?<!ASK)PASS|(?:^|_)PAT|PWD)$",
    re.IGNORECASE,
)
_FOLDERS = ("PWD", "OLDPWD")
"""Shells keep the present and the last folder in these variables, which are no passwords."""

_SHORTEST = 8
"""Values of environment variables, and single lines of them, are searched for if they have at least
this many characters: shorter ones occur in texts by chance.
"""


def redacted(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Returns `text` with every secret in it replaced by `HIDDEN`.

    environment: the variables whose values are hidden where their names denote a secret.
    """
    return _hide(text, _secret_spellings(environment))


def _hide(text: str, spellings: Iterable[str]) -> str:
    for spelling in spellings:
        text = text.replace(spelling, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def _secret_spellings(environment: Mapping[str, str]) -> list[str]:
    """Returns the secret values of the variables and each of their lines, in every way in which
    programs quote and escape them; longer ones come first, because they may contain shorter ones.
    """
    found: set[str] = set()
    for name, value in environment.items():
        if _VARIABLE.search(name) and name.upper() not in _FOLDERS:
            for secret in (value, *(line.strip() for line in value.splitlines())):
                if len(secret) >= _SHORTEST:
                    found |= _spellings(secret)
    return sorted(found, key=lambda spelling: (-len(spelling), spelling))


def _spellings(secret: str) -> set[str]:
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        repr(secret)[1:-1],
        repr(secret.encode())[2:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(secret))[3:-3],
        html.escape(secret),
        shlex.quote(secret),
    }


def redacted_values(value: Any) -> Any:
    """Returns plain values with all their texts redacted, also inside of lists and mappings; keys
    stay as they are, and tuples become lists.
    """
    # Going through the environment takes longer than hiding what a short text contains.
    return _hide_in_values(value, _secret_spellings(os.environ))


def _hide_in_values(value: Any, spellings: Sequence[str]) -> Any:
    if isinstance(value, str):
        return _hide(value, spellings)
    if isinstance(value, Mapping):
        return {key: _hide_in_values(item, spellings) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hide_in_values(item, spellings) for item in value]
    return value


MESSAGE_LINES, MESSAGE_LENGTH = 5, 500
"""An error message from `last_lines` has at most this many lines and characters. CUDA needs several
lines: its first one states what happened, and three more explain how to find out where.
"""


def last_lines(text: str) -> str:
    """Returns the error message at the end of a traceback as one line, without secrets.

    The message consists of the lines after the last indented one. Of more than `MESSAGE_LINES`
    lines, the first, which names the error, and the last ones remain; the result has at most
    `MESSAGE_LENGTH` characters. Secrets are redacted because error messages are recorded.
    """
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    indented = [index for index, line in enumerate(lines) if line[0].isspace()]
    message = (lines[indented[-1] + 1 :] if indented else lines) or lines[-1:] or ["without a word"]
    if len(message) > MESSAGE_LINES:
        message = [message[0], "…", *message[1 - MESSAGE_LINES :]]
    whole = redacted(" ".join(line.strip() for line in message))
    return whole if len(whole) <= MESSAGE_LENGTH else whole[: MESSAGE_LENGTH - 1] + "…"


_UNSAFE_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, lone surrogates and line separators.

A terminal obeys such characters or breaks the line. Surrogates stand for bytes that aren't UTF-8.
"""
_UNSAFE = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
"""The marks that change the direction of text, and the byte order mark.

Other invisible characters are allowed, because Persian and Indic scripts need joiners.
"""


def printable(text: str) -> str:
    """Returns `text` with each character that can't be shown safely replaced by its escape.

    Bytes that aren't UTF-8 appear as `\\xe9`, control characters as Python writes them.
    """
    return "".join(_escape(char) if is_unsafe(char) else char for char in text)


def is_unsafe(char: str) -> bool:
    """Returns whether a terminal obeys a character, or shows another text because of it."""
    return char in _UNSAFE or unicodedata.category(char) in _UNSAFE_CATEGORIES


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that isn't UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode()


def did_you_mean(
    word: str, known: Iterable[str], otherwise: str, show: Callable[[str], object] = str
) -> str:
    """Returns a question that names the word which was probably meant, or `otherwise` where no word
    of `known` is close.

    show: turns the close word into what the question names.
    """
    close = get_close_matches(word, known, n=1)
    return f"did you mean {show(close[0])}?" if close else otherwise


def format_value(value: object, digits: int = 4) -> str:
    """Formats a value for people: a float with so many significant digits, `None` as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def format_fraction(value: float | None, sign: str = "") -> str:
    """Formats a fraction with three digits, and `None` as a dash; with `+` as its `sign`, a
    difference.
    """
    return "–" if value is None else f"{value:{sign}.3f}"


def format_duration(seconds: float) -> str:
    """Formats a duration for people, in the largest unit that fits: 4.2 s, 12 s, 34 min or
    5 h 07 min.
    """
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def format_clock(seconds: float) -> str:
    """Formats a running time as a clock shows it: 1:02, 3:04:05 or 6 d 7:08:09."""
    minutes, s = divmod(int(seconds), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    if days:
        return f"{days} d {h}:{m:02d}:{s:02d}"
    return f"{h}:{m:02d}:{s:02d}" if h else f"{m}:{s:02d}"
