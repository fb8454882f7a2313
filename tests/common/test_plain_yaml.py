"""YAML from elsewhere: plain values or one error, quickly."""

import pytest

from common.plain_yaml import load_plain


def test_plain_values_are_read() -> None:
    text = "lr: 1.0e-3\nnames: [a, b]\nnothing: null\nnested: {on: true}\n"
    assert load_plain(text) == {
        "lr": 1e-3,
        "names": ["a", "b"],
        "nothing": None,
        "nested": {True: True},
    }


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "x: !!python/object/apply:os.system [id]",
        "x: !!python/name:os.system",
        "day: 2026-13-45",
        "[" * 5000,
        "a: b: c",
        "x: \x00",
        "!!set [1]",
    ],
    ids=["aliases", "call", "name", "no day", "depth", "two colons", "control", "tag"],
)
def test_everything_else_is_one_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        load_plain(text)
