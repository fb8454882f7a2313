"""A terminal in another encoding loses a character, and no command ends for it."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from common.cli import Parser
from tools.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


def run(arguments: list[str], encoding: str) -> str:
    """What a command prints on a terminal of that encoding, where it ends with code 0."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(encoding)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_shown_in_ascii(command: str) -> None:
    assert "--help" in run([command, "--help"], "ascii")


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", r"| 0 \u2026 5, step 1 "),
        ("latin-1", r"| 0 \u2026 5, step 1 "),
        ("utf-8", "0 … 5"),
    ],
)
def test_a_dry_run_shows_the_whole_plan(encoding: str, shown: str, tmp_path: Path) -> None:
    plan = run(["search.run", "--space", "resnet50", "--dry-run", "--out", str(tmp_path)], encoding)
    assert shown in plan
    assert "trial 4" in plan


def test_what_is_printed_after_parsing_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """By print and by rich alike; the last name has a byte that isn't UTF-8."""
    terminal = io.BytesIO()
    stdout = io.TextIOWrapper(terminal, encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", stdout)
    with pytest.raises(UnicodeEncodeError):
        print("×")
    Parser("python -m thing", None).parse_args([])
    print("2 × 3")
    Console().print("café\udce9", soft_wrap=True)
    assert terminal.getvalue().decode("ascii").splitlines() == [r"2 \xd7 3", r"caf\xe9\udce9"]


def test_an_output_that_is_no_file_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook, whose output has no encoding to set."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    Parser("python -m thing", None).parse_args([])
