"""Reads the numbers in options."""

import math


def number_of(text: str, *, whole: bool) -> float:
    """Returns the number in `text`, which must be a whole number where `whole` is true. Returns
    NaN, which every rule rejects, where there is no such number.
    """
    try:
        return int(text) if whole else float(text)
    except ValueError:
        return math.nan


def gpu_share(text: str) -> bool:
    """Returns whether `text` is a share of a GPU: 0, or a part down to a ten-thousandth, in which
    Ray counts, up to 1.
    """
    share = number_of(text, whole=False)
    return share == 0 or 1e-4 <= share <= 1
