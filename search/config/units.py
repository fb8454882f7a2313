"""Reads the numbers and durations in options."""

import math
import re


def number_of(text: str, *, whole: bool) -> float:
    """Returns the number in `text`, which must be a whole number where `whole` is true. Returns
    NaN, which every rule rejects, where there is no such number.
    """
    try:
        return int(text) if whole else float(text)
    except ValueError:
        return math.nan


def gpu_share(text: str) -> bool:
    """Returns whether `text` is a share of a GPU (0…1) or a whole number of GPUs."""
    share = number_of(text, whole=False)
    return math.isfinite(share) and (0 <= share <= 1 or (share > 1 and share == round(share)))


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
