"""Reads and writes the durations in options."""

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


def as_duration(seconds: float) -> str:
    """Returns the text that `seconds_of` reads as so many seconds, such as `1h30m` for 5400, to a
    thousandth of a second.
    """
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    last = f"{rest}.{thousandths:03d}".rstrip("0").rstrip(".") if thousandths else str(rest)
    amounts = {"d": str(days), "h": str(hours), "m": str(minutes), "s": last}
    return "".join(f"{n}{unit}" for unit, n in amounts.items() if n != "0") or "0s"
