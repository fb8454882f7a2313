import pytest

from common.text import MESSAGE_LENGTH, last_lines

TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TRACEBACK + "RuntimeError: no disk\n\n", "RuntimeError: no disk"),
        (
            TRACEBACK + "RuntimeError: CUDA error: an illegal memory access\n"
            "CUDA kernel errors might be reported at some other call.\nPass LAUNCH_BLOCKING=1.",
            "RuntimeError: CUDA error: an illegal memory access CUDA kernel errors might be "
            "reported at some other call. Pass LAUNCH_BLOCKING=1.",
        ),
        ("The actor died.\n\tpid: 7\nIts worker has died.", "Its worker has died."),
        (TRACEBACK, "g()"),
        ("a\nb\nc\nd\ne\nf\ng", "a … d e f g"),
        (" \n", "without a word"),
    ],
)
def test_what_an_error_says_as_one_line(text: str, told: str) -> None:
    assert last_lines(text) == told


def test_a_long_word_is_cut() -> None:
    told = last_lines("x" * 9999)
    assert len(told) == MESSAGE_LENGTH
    assert told.endswith("x…")
