"""A run of another user, whose space would run code: real commands, in a real shell."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.drills.searches import ENVIRONMENT, PATIENCE_S, ROOT
from tests.remedies.searches import write_space

TRIES = 10
"""Each command that would execute the space is started so often."""


def as_user(user: Path, command: Sequence[object] | str) -> subprocess.CompletedProcess[str]:
    """What a command prints for a user whose key lies in the folder `user`. A text is a line for
    the shell.
    """
    return subprocess.run(
        command if isinstance(command, str) else list(map(str, command)),
        shell=isinstance(command, str),
        cwd=ROOT,
        env=ENVIRONMENT | {"XDG_DATA_HOME": str(user)},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
    )


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_nothing_of_a_received_run_is_executed_before_it_is_confirmed(
    demo_data: Path, tmp_path: Path
) -> None:
    executed, hacked = tmp_path / "executed", tmp_path / "hacked"
    folder = tmp_path / f"theirs; touch {hacked.name} $(touch {hacked.name})"
    folder.mkdir()
    space = write_space(folder / "it's mine.py", lr='float("lr", 1e-3, 1e-2, log=True)')
    mark = f"import pathlib\npathlib.Path({str(executed)!r}).touch()\n"
    space.write_text(mark + space.read_text(encoding="utf-8"), encoding="utf-8")
    run = folder / "run"
    python = [sys.executable, "-m"]
    begun = as_user(
        tmp_path / "they",
        [
            *python, "search.run", "--space", space, "--data", demo_data, "--out", folder,
            "--name", "run", "--trials", 2, "--epochs", 1, "--grace", 1, "--concurrency", 1,
            "--precision", "float32", "--set", "batch_size=64", "image_size=32",
        ],
    )  # fmt: skip
    assert begun.returncode == 0, begun.stdout + begun.stderr
    assert executed.exists()
    executed.unlink()

    me, refused = tmp_path / "me", 0
    asked = [["--resume", run], ["--resume-or-start", run], ["--resume", run, "--dry-run"]]
    for words in asked:
        for _ in range(TRIES):
            done = as_user(me, [*python, "search.run", *words, "--trials", 3])
            assert done.returncode == 2, done.stdout + done.stderr
            assert done.stderr.startswith("error: --resume: nothing that ")
            refused += 1
    for module in ("results.report", "results.compare", "results.importance", "results.export"):
        as_user(me, [*python, module, run])
    as_user(me, [*python, "search.run", "--space", "demo", "--warm-start", run, "--dry-run"])
    assert not executed.exists()

    line = re.search(r"`(.*)`\.$", done.stderr, re.DOTALL)
    assert line
    whole = line[1].replace("python -m", f"{sys.executable} -m", 1).replace(" --dry-run", "")
    confirmed = as_user(me, whole)
    assert confirmed.returncode == 0, confirmed.stdout + confirmed.stderr
    assert executed.exists()
    again = as_user(me, [*python, "search.run", "--resume", run])
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing is left to train" in again.stdout
    assert list(tmp_path.rglob("hacked*")) == []
    assert not (ROOT / "hacked").exists()
    print(
        f"received run: {refused} of {refused} commands refused, 5 others read records only, the "
        "space was executed after its confirmation and never before"
    )
