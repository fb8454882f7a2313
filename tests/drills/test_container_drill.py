"""A search in a control group of the system with a CPU quota, which it names and follows."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.drills.searches import ENVIRONMENT, ROOT, search

TREE = Path("/sys/fs/cgroup/cpu")
NEW = TREE / f"drill-{os.getpid()}"

pytestmark = [
    pytest.mark.drill,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.geteuid() != 0 or not (TREE / "cpu.cfs_quota_us").exists(),
        reason="needs root, and control groups of version 1 for the CPU",
    ),
]


@contextmanager
def quota(cores: float) -> Iterator[Path]:
    """A group with a quota, which is inside of one without."""
    inner = NEW / "inner"
    inner.mkdir(parents=True)
    try:
        (NEW / "cpu.cfs_quota_us").write_text(str(int(cores * 100_000)), encoding="ascii")
        yield inner
    finally:
        inner.rmdir()
        NEW.rmdir()


def inside(group: Path, command: list[str], *, namespace: bool) -> list[str]:
    """The command in a group, and in a namespace of control groups whose root is the group's
    parent, as in a container.
    """
    enter = f'echo $$ > {group}/cgroup.procs && exec "$@"'
    if not namespace:
        return ["sh", "-c", enter, "sh", *command]
    mount = f'umount {TREE} && mount -t cgroup -o cpu none {TREE} && exec "$@"'
    unshare = f"exec unshare --cgroup --mount sh -c '{mount}' sh \"$@\""
    apart = f"echo $$ > {group.parent}/cgroup.procs && {unshare}"
    return ["sh", "-c", apart, "sh", *command]


@pytest.mark.parametrize("namespace", [False, True])
@pytest.mark.parametrize(("cores", "counted"), [(0.5, 1), (1.5, 1)])
def test_a_quota_is_named_and_followed(
    tmp_path: Path, demo_data: Path, cores: float, counted: int, namespace: bool
) -> None:
    command = [*search(tmp_path, demo_data), "--dry-run"]
    command[command.index("--concurrency") + 1] = "auto"
    with quota(cores) as group:
        done = subprocess.run(
            inside(group, command, namespace=namespace), cwd=ROOT, env=ENVIRONMENT,
            capture_output=True, encoding="utf-8", timeout=600,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    limit = f"{counted} core (of {os.cpu_count()}; limit of the container's CPU quota, cgroup v1)"
    assert f"machine  {limit}" in done.stdout
    assert "at once  1 trial of 1 CPU thread(s) each" in done.stdout
    print(f"quota of {cores} cores, {'own namespace' if namespace else 'nested'}: {limit}")


def test_preparing_and_final_training_follow_the_quota(tmp_path: Path) -> None:
    script = (
        "from trainables.final import parser; from common.allowance import allowed_cores; "
        "print(parser().parse_args(['--config', 'x']).threads, allowed_cores().amount)"
    )
    with quota(1.0) as group:
        done = subprocess.run(
            inside(group, [sys.executable, "-c", script], namespace=False), cwd=ROOT,
            env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=300,
        )  # fmt: skip
    assert done.stdout.split() == ["1", "1"], done.stderr
