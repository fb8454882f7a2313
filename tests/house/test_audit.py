"""Known vulnerabilities fail the check; a network that doesn't answer only says so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CLEAN = [{"name": "ray", "version": "2.60.0", "vulns": []}]
BAD = [
    {
        "name": "pillow",
        "version": "9.0.0",
        "vulns": [
            {"id": "PYSEC-1", "fix_versions": ["9.0.1", "10"]},
            {"id": "PYSEC-2", "fix_versions": []},
        ],
    }
]


def run(folder: Path, tool: str | None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the script beside a stand-in for pip-audit, a shell script."""
    code = (
        (ROOT / ".ci" / "audit.py")
        .read_text(encoding="utf-8")
        .replace("__file__", repr(str(folder / ".ci/x")))
    )
    (folder / "audit.py").write_text(code, encoding="utf-8")
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(sys.executable)
    if tool is not None:
        (folder / "bin" / "pip-audit").write_text(f"#!/bin/sh\n{tool}\n", encoding="utf-8")
        (folder / "bin" / "pip-audit").chmod(0o755)
    return subprocess.run(
        [folder / "bin" / "python", folder / "audit.py"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def answering(dependencies: list[dict[str, object]], code: int) -> str:
    """A tool that writes this answer where it is told to."""
    answer = json.dumps({"dependencies": dependencies, "fixes": []})
    return (
        'echo "$@" > args; while [ "$1" != --output ]; do shift; done\n'
        f"echo '{answer}' > \"$2\"; exit {code}"
    )


def test_known_vulnerabilities_are_named_recorded_and_fail(tmp_path: Path) -> None:
    done = run(tmp_path, answering(BAD, 1))
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        "audit: 1 packages, 2 known vulnerabilities",
        "pillow 9.0.0: PYSEC-1, fixed in 9.0.1, 10",
        "pillow 9.0.0: PYSEC-2, not fixed",
    ]
    record = json.loads((tmp_path / "build" / "audit.json").read_text(encoding="utf-8"))
    assert record["vulnerabilities"] == done.stdout.splitlines()[1:]


def test_a_clean_answer_passes(tmp_path: Path) -> None:
    done = run(tmp_path, answering(CLEAN, 0))
    assert (done.returncode, done.stdout) == (0, "audit: 1 packages, 0 known vulnerabilities\n")


@pytest.mark.parametrize(
    ("tool", "why"),
    [
        (None, "pip-audit isn't installed: make setup"),
        ("echo Traceback >&2; echo 'ConnectionError: api.osv.dev' >&2; exit 1", "api.osv.dev"),
        ("exit 3", "pip-audit ended with code 3"),
    ],
)
def test_where_nobody_can_be_asked_it_is_said(tool: str | None, why: str, tmp_path: Path) -> None:
    done = run(tmp_path, tool)
    assert done.returncode == 0, done.stderr
    assert "audit: 0 packages, nobody could be asked (" in done.stdout
    assert why in done.stdout
    assert (
        why
        in json.loads((tmp_path / "build" / "audit.json").read_text(encoding="utf-8"))["outcome"]
    )


def test_what_is_accepted_is_passed_on(tmp_path: Path) -> None:
    run(tmp_path, answering(CLEAN, 0), AUDIT_ARGS="--ignore-vuln PYSEC-1")
    assert "--ignore-vuln PYSEC-1" in (tmp_path / "args").read_text(encoding="utf-8")
    assert "constraints.txt --no-deps" in (tmp_path / "args").read_text(encoding="utf-8")
