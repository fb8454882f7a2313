"""Names that a terminal would obey are shown as escapes, wherever they are shown."""

import pytest

from common.cli import refuse
from common.errors import UserError
from common.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\udce9", "caf\\xe9"),
        ("a\x1b[31mb\nc", "a\\x1b[31mb\\nc"),
        ("x\u202egnp", "x\\u202egnp"),
        ("\ufeffcat", "\\ufeffcat"),
        ("می\u200cخواهم 猫 é", "می\u200cخواهم 猫 é"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_an_error_shows_names_safely_and_keeps_its_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refuse(UserError(["2 are broken:\n  a\x1b[31mb.jpg: empty", "gone: \udce9"])) == 2
    assert capsys.readouterr().err == (
        "error: 2 are broken:\n  a\\x1b[31mb.jpg: empty\nerror: gone: \\xe9\n"
    )
