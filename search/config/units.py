"""What a text says in numbers."""

import math
import re


def number_of(text: str, *, whole: bool) -> float:
    """The number that a text stands for; NaN, which no rule accepts, when it is none."""
    try:
        return int(text) if whole else float(text)
    except ValueError:
        return math.nan


def gpu_share(text: str) -> bool:
    """Whether a text is a share of a GPU, or so many whole ones."""
    share = number_of(text, whole=False)
    return math.isfinite(share) and (0 <= share <= 1 or (share > 1 and share == round(share)))


def seconds_of(text: str) -> float | None:
    """A duration like 2h in seconds; `None` where a text is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]] if found else None
