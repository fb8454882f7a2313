"""YAML from elsewhere: plain values or one error, quickly."""

import pytest
import yaml

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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0100", "0100"),
        ("007", "007"),
        ("-0100", "-0100"),
        ("1:04", "1:04"),
        ("1:04.5", "1:04.5"),
        ("100", 100),
        ("0", 0),
        ("0x20", 32),
        ("012.5", 12.5),
        ("1.0e-05", 1e-5),
    ],
)
def test_no_number_is_octal_or_sexagesimal(text: str, value: object) -> None:
    read = load_plain(text)
    assert (read, type(read)) == (value, type(value))


def test_what_yaml_writes_is_read_as_it_was() -> None:
    texts = ["0100", "007", "08", "1:04", "1e5", "12e4", "0x20", "1_000", "yes", "null", "~", "1.0"]
    values = {text: text for text in texts} | {"n": [0, -7, 100, 1e-5, 1e22, 0.1, True, None]}
    assert load_plain(yaml.safe_dump(values)) == values


def test_scalars_can_stay_the_texts_that_they_are() -> None:
    text = "{a: 007, b: 1.10, c: +4, d: 2026-11-26, e: true, f: null, g: '5', h: [1e-3]}"
    assert load_plain(text, numbers=False) == {
        "a": "007", "b": "1.10", "c": "+4", "d": "2026-11-26", "e": True, "f": None, "g": "5",
        "h": ["1e-3"],
    }  # fmt: skip


@pytest.mark.parametrize("text", ["lr: 1\nflip: true\nlr: 2", "a: {lr: 1, 'lr': 1}"])
def test_a_key_that_occurs_twice_is_an_error_with_its_place(text: str) -> None:
    for numbers in (True, False):
        with pytest.raises(ValueError, match=r"the key 'lr' occurs twice\n.*line \d, column \d"):
            load_plain(text, numbers=numbers)
