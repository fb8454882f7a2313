"""Damage as disks, copies and hands do it to a file, drawn by hypothesis."""

from collections.abc import Callable

from hypothesis import strategies as st

Mutate = Callable[[bytes], bytes]

MOST_AT_ONCE = 64
"""Bytes that one mutation removes, repeats or overwrites with others."""

SECTOR = 512


@st.composite
def mutations(draw: st.DrawFn, size: int) -> Mutate:
    """One way to damage a file of `size` bytes, never to the file as it was."""
    at = draw(st.integers(0, size - 1))
    kind = draw(st.sampled_from(("flip", "digit", "cut", "remove", "insert", "zeros", "several")))
    value = draw(st.integers(1, 255))
    length = draw(st.integers(1, MOST_AT_ONCE))
    others = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4))

    def mutate(content: bytes) -> bytes:
        changed = bytearray(content)
        if kind == "cut":
            return bytes(changed[:at])
        if kind == "remove":
            del changed[at : at + length]
        elif kind == "insert":
            changed[at:at] = bytes((value + i) % 256 for i in range(length))
        elif kind == "zeros":
            start = at // SECTOR * SECTOR
            changed[start : start + SECTOR] = bytes(len(changed[start : start + SECTOR]))
        elif kind == "digit":  # what no parser notices
            place = next((i for i in range(at, size) if 48 <= changed[i] < 58), at)
            changed[place] = 48 + (changed[place] - 48 + 1 + value % 9) % 10
        else:
            for place in [at, *(others if kind == "several" else ())]:
                changed[place] ^= value
        return bytes(changed)

    return mutate
