"""A terminal in another encoding loses a character, and no command ends for it."""

import io
import os
import subprocess
import sys
import time
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
        ("ascii", r"| 0 \u2026 0.5, step 0.1 "),
        ("latin-1", r"| 0 \u2026 0.5, step 0.1 "),
        ("utf-8", "0 … 0.5, step 0.1"),
    ],
)
def test_a_dry_run_shows_the_whole_plan(encoding: str, shown: str, tmp_path: Path) -> None:
    plan = run(["search.run", "--space", "demo", "--dry-run", "--out", str(tmp_path)], encoding)
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


PRINTS = """
import sys
from common.cli import Parser
Parser("python -m thing", None).parse_args([])
sys.stdin.read()  # until the pipe's reader is gone
for number in range(3):
    print("epoch", number, flush=True)
print("done", file=sys.stderr)
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_command_goes_on_when_nobody_reads_its_output(unbuffered: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRINTS], cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    ) as command:  # fmt: skip
        assert command.stdout
        assert command.stdin
        assert command.stderr
        command.stdout.close()
        command.stdin.close()
        assert command.stderr.read() == "done\n"
        assert command.wait() == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_is_printed_comes_whole_and_in_order(unbuffered: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINTS.replace("flush=True", "")],
        cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": unbuffered}, input="",
        capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "epoch 0\nepoch 1\nepoch 2\n")


def test_an_output_that_would_block_is_waited_for() -> None:
    """As a pipe that another process has made non-blocking, with a slow reader."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    program = PRINTS.replace('"epoch", number', '"x" * 100_000')
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=writer
    ) as command:
        os.close(writer)
        time.sleep(0.5)
        with os.fdopen(reader, "rb") as output:
            assert len(output.read()) == 3 * 100_001
        assert command.wait() == 0


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_full_disk_behind_an_output_ends_nothing(stream: str) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-c", PRINTS], cwd=ROOT, stdin=subprocess.DEVNULL, check=False,
            **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | {stream: full},
        )  # fmt: skip
    assert done.returncode == 0
