"""How a command that writes files ends."""

from pathlib import Path

import pytest

from common.cli import REFUSED, run_writer
from common.errors import UserError


def test_what_was_written_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_writer(lambda: [Path("runs/a/report.html"), Path("card.md")]) == 0
    assert capsys.readouterr() == ("runs/a/report.html\ncard.md\n", "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError(["No run.", "No space."]), "error: No run.\nerror: No space.\n"),
        (OSError(28, "No space left on device"), "error: [Errno 28] No space left on device\n"),
    ],
)
def test_what_a_user_can_mend_is_said(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def write() -> list[Path]:
        raise error

    assert run_writer(write) == REFUSED
    assert capsys.readouterr() == ("", said)


def test_an_error_of_ours_is_not_hidden() -> None:
    def write() -> list[Path]:
        raise KeyError("trial")

    with pytest.raises(KeyError):
        run_writer(write)
