"""Reads the durations in options."""

import re


def seconds_of(text: str) -> float | None:
    """Returns a duration in seconds, such as 7200 for `2h` and 5400 for `1h30m`. The units are d,
    h, m and s, each at most once and in this order; the result is `None` where `text` is no
    duration, as `1:04`, which may mean hours or minutes.
    """
    number = r"(\d+(?:\.\d+)?)"
    found = re.fullmatch("".join(f"(?:{number}{unit})?" for unit in "dhms"), text)
    if not (text and found):
        return None
    amounts = zip(found.groups(default="0"), (86400, 3600, 60, 1), strict=True)
    return sum(float(amount) * unit_s for amount, unit_s in amounts)
