"""Set-up on machines that lack something, with stand-ins for the programs of the system."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

NEW_PYTHON = """
case "$2" in
    *"version_info < "*) exit 1 ;;
    *print*) echo python3.12 ;;
    *) exit 0 ;;
esac
"""
OLD_PYTHON = """
case "$2" in
    *"version_info < "*) exit 0 ;;
    *print*) echo /usr/bin/python3 is 3.9.2 ;;
    *) exit 0 ;;
esac
"""
BARE_PYTHON = NEW_PYTHON.replace("*) exit 0", "*) exit 1")
USER = "echo 1000"
ADMINISTRATOR = "echo 0"
EVERYTHING = {"c++": "exit 0", "pkg-config": "exit 0"}


def run_setup(root: Path, *words: str, **programs: str) -> subprocess.CompletedProcess[str]:
    """Runs a copy of the set-up in `root`, where only `programs` can be found."""
    folder = root / "bin"
    folder.mkdir()
    for name in ("bash", "env", "sh", "dirname", "touch", "mktemp", "rm", "cat"):
        (folder / name).symlink_to(shutil.which(name) or name)
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    (root / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "setup", root / ".ci" / "setup")
    return subprocess.run(
        [root / ".ci" / "setup", *words],
        env={"PATH": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
    )


def test_a_user_without_rights_gets_the_line_to_type(tmp_path: Path) -> None:
    log = f'echo "$@" >> {tmp_path}/apt.log'
    done = run_setup(tmp_path, **{"id": USER, "apt-get": log, "python3": BARE_PYTHON})
    assert done.returncode == 1
    assert done.stderr == (
        "error: system packages are missing; type «sudo sh -c 'apt-get update && apt-get install "
        "--no-install-recommends build-essential pkg-config libopencv-dev libturbojpeg0-dev "
        "python3.12-dev python3.12-venv'», then repeat the command.\n"
    )
    assert not (tmp_path / "apt.log").exists()
    assert not (tmp_path / ".venv").exists()


def test_here_means_this_python_with_what_it_has(tmp_path: Path) -> None:
    pins = "numpy==9.9\ntorch==9.9\nno-such-package==1.0\n"
    (tmp_path / "constraints.txt").write_text(pins, encoding="utf-8")
    kernel = (
        f'[ "$1" != - ] || exec {sys.executable} -\n'
        'if [ "$2" = pip ]; then\n'
        f'    echo "$@" > {tmp_path}/pip.log\n'
        '    while [ "$1" != --constraint ]; do shift; done\n'
        f'    cat "$2" > {tmp_path}/used.txt\n'
        "fi" + NEW_PYTHON
    )
    done = run_setup(tmp_path, "--here", **EVERYTHING, id=USER, python3=kernel)
    assert done.returncode == 0, done.stderr
    assert "Installing Python packages into " in done.stdout
    assert (tmp_path / "pip.log").read_text(encoding="utf-8").endswith("--editable .\n")
    # Pins of what is there would replace it, a torch for this machine's GPU among them.
    assert (tmp_path / "used.txt").read_text(encoding="utf-8") == "no-such-package==1.0\n"
    assert not (tmp_path / ".venv").exists()


def test_a_machine_without_python_is_asked_for_the_system_s(tmp_path: Path) -> None:
    done = run_setup(tmp_path, **EVERYTHING, **{"id": USER, "apt-get": "exit 1"})
    assert "--no-install-recommends python3-dev python3-venv'»" in done.stderr


def test_too_old_a_python_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    log = f'echo "$@" >> {tmp_path}/apt.log'
    done = run_setup(tmp_path, **{"id": ADMINISTRATOR, "apt-get": log, "python3": OLD_PYTHON})
    assert done.returncode == 1
    assert done.stderr == (
        "error: Python must be 3.11 or newer, but /usr/bin/python3 is 3.9.2; "
        "name a newer one: make setup PYTHON=python3.12\n"
    )
    assert not (tmp_path / "apt.log").exists()


def test_only_what_is_missing_is_installed(tmp_path: Path) -> None:
    # The stand-in for apt-get brings what was asked for, as the real one does.
    apt = (
        f'echo "$@" >> {tmp_path}/apt.log\n'
        f'case "$*" in *opencv*) echo "exit 0" > {tmp_path}/bin/opencv4 ;; esac'
    )
    programs = {
        "c++": "exit 0",
        "pkg-config": f'[ "$2" != opencv4 ] || [ -e {tmp_path}/bin/opencv4 ]',
        "id": ADMINISTRATOR,
        "apt-get": apt,
        "python3": NEW_PYTHON,
    }
    done = run_setup(tmp_path, **programs)
    assert "Installing system packages: libopencv-dev\n" in done.stdout
    update, install = (tmp_path / "apt.log").read_text(encoding="utf-8").splitlines()
    assert update.endswith("update -qq")
    assert install.endswith("install -y -qq --no-install-recommends libopencv-dev")
    assert "still missing" not in done.stderr


def test_what_is_still_missing_afterwards_is_said(tmp_path: Path) -> None:
    programs = {"id": ADMINISTRATOR, "apt-get": "exit 0", "python3": NEW_PYTHON}
    done = run_setup(tmp_path, **programs)
    assert done.returncode == 1
    assert done.stderr == (
        "error: still missing after the installation: "
        "build-essential pkg-config libopencv-dev libturbojpeg0-dev\n"
    )


def test_a_system_without_apt_is_told_what_to_install(tmp_path: Path) -> None:
    done = run_setup(tmp_path, id=ADMINISTRATOR, python3=NEW_PYTHON)
    assert done.returncode == 1
    assert "this system has no apt-get; install what Debian calls build-essential" in done.stderr


def run_make(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs make in `root`, with the project's own Makefile and nothing of an outer make."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", ".ci"):
        (root / name).symlink_to(ROOT / name)
    return subprocess.run(
        ["make", *arguments],
        cwd=root,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        encoding="utf-8",
        timeout=30,
    )


@pytest.mark.parametrize(
    "target", ["setup", "search", "test", "test-slow", "drills", "check", "bench"]
)
def test_every_target_sets_up_first(tmp_path: Path, target: str) -> None:
    lines = run_make(tmp_path, "--dry-run", target).stdout.splitlines()
    assert lines[0] == "PYTHON='python3' .ci/setup"
    assert (len(lines) > 2) == (target != "setup")


def test_what_is_set_up_is_not_set_up_again(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "ready").touch()
    assert run_make(tmp_path, "setup").stdout == "make: Nothing to be done for 'setup'.\n"


def test_benchmarks_that_do_not_exist_are_an_error(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "ready").touch()
    done = run_make(tmp_path, "bench")
    assert done.returncode == 2
    assert done.stderr.startswith("error: tests/benchmarks holds no bench_*.py.\n")
