"""Damage that moves whole lines of a file: whole files, copies and hands do that."""

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

MutateLines = Callable[[Sequence[bytes]], list[bytes]]


@st.composite
def line_mutations(draw: st.DrawFn) -> MutateLines:
    """One way to lose, double, exchange or reverse lines, as shares of the file's length."""
    kind = draw(
        st.sampled_from(
            ("end", "begin", "middle", "subset", "double", "again", "swap", "reverse", "shuffle")
        )
    )
    shares = sorted(draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))
    random = draw(st.randoms(use_true_random=False))

    def mutate(lines: Sequence[bytes]) -> list[bytes]:
        if not lines:
            return []
        low, high = (round(share * (len(lines) - 1)) for share in shares)
        part, rest = list(lines[low : high + 1]), (list(lines[:low]), list(lines[high + 1 :]))
        if kind == "end":
            return list(lines[:low])
        if kind == "begin":
            return list(lines[low + 1 :])
        if kind == "middle":
            return [*rest[0], *rest[1]]
        if kind == "subset":
            return [line for line in lines if random.random() < 0.7]
        if kind == "double":
            return [*rest[0], *part, *part, *rest[1]]
        if kind == "again":  # at the end
            return [*lines, *part]
        if kind == "swap":
            part[0], part[-1] = part[-1], part[0]
        elif kind == "reverse":
            part.reverse()
        else:
            random.shuffle(part)
        return [*rest[0], *part, *rest[1]]

    return mutate
