"""Cores and memory that a process may use, read from trees of control groups of many kinds."""

import os
from pathlib import Path

import psutil
import pytest

from common.allowance import Allowance, allowed_cores, allowed_memory, describe_limits

MEMORY = psutil.virtual_memory().total
GIB = 1 << 30


class Groups:
    """Trees of control groups below a folder, as /proc and /sys/fs/cgroup describe them."""

    def __init__(self, folder: Path) -> None:
        self._top = folder / "a tree"
        self.process = folder / "self"
        self.process.mkdir()

    def mount(self, kind: str, options: str = "rw", *, root: str = "/", name: str = "all") -> None:
        """Mounts a tree, whose path has a blank in it, as mountinfo tells it."""
        path = str(self._top / name).replace(" ", r"\040")
        with (self.process / "mountinfo").open("a", encoding="utf-8") as file:
            file.write(f"31 24 0:27 {root} {path} rw,nosuid shared:9 - {kind} {kind} {options}\n")

    def enter(self, *lines: str) -> None:
        """Writes the groups of the process."""
        (self.process / "cgroup").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def limit(self, path: str, **values: str) -> None:
        """Writes files of a group; `cpu_max` stands for cpu.max."""
        folder = self._top / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in values.items():
            known = name.replace("_", ".", 1)
            (folder / known).write_text(value + "\n", encoding="utf-8")

    def cores(self) -> int | None:
        """How many cores a quota leaves; `None` where none limits."""
        found = allowed_cores(self.process)
        return found.amount if "quota" in found.source else None

    def memory(self) -> int | None:
        """How many bytes a limit leaves; `None` where none limits."""
        found = allowed_memory(self.process)
        return found.amount if found.source else None


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Groups:
    """A machine of 64 cores, all of which this process may use."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    return Groups(tmp_path)


@pytest.mark.parametrize(
    ("cpu", "cores"),
    [
        ("max 100000", None),
        ("200000 100000", 2),
        ("250000 100000", 2),
        ("50000 100000", 1),
        ("1000 100000", 1),
        ("30000 10000", 3),
        ("6400000 100000", None),
        ("9000000 100000", None),
        ("", None),
        ("200000", None),
    ],
)
def test_a_quota_of_version_2_counts_in_whole_cores(
    groups: Groups, cpu: str, cores: int | None
) -> None:
    groups.mount("cgroup2")
    groups.enter("0::/")
    groups.limit("all", cpu_max=cpu)
    assert groups.cores() == cores


def test_a_container_of_version_2_is_described(groups: Groups) -> None:
    groups.mount("cgroup2")
    groups.enter("0::/")
    groups.limit("all", cpu_max="200000 100000", memory_max=str(GIB), memory_high="max")
    cores, memory = allowed_cores(groups.process), allowed_memory(groups.process)
    assert describe_limits(cores, memory) == (
        "2 cores (of 64; limit of the container's CPU quota, cgroup v2)",
        f"1.0 GiB of memory (of {MEMORY / GIB:.1f}; limit of the container's memory.max, "
        "cgroup v2)",
    )


def test_the_smallest_limit_of_the_own_group_and_its_parents_counts(groups: Groups) -> None:
    """As systemd nests slices, and Slurm a step in a job."""
    groups.mount("cgroup2")
    groups.enter("0::/system.slice/slurmstepd.scope/job_7/step_0")
    groups.limit("all/system.slice", cpu_max="max 100000", memory_max="max")
    groups.limit("all/system.slice/slurmstepd.scope/job_7", cpu_max="300000 100000")
    groups.limit("all/system.slice/slurmstepd.scope/job_7", memory_max=str(GIB))
    groups.limit("all/system.slice/slurmstepd.scope/job_7/step_0", cpu_max="500000 100000")
    groups.limit("all/system.slice/slurmstepd.scope/job_7/step_0", memory_max=str(2 * GIB))
    groups.limit("all/user.slice", cpu_max="100000 100000", memory_max="4096")
    assert (groups.cores(), groups.memory()) == (3, GIB)


def test_memory_from_which_on_a_process_is_slowed_down_counts(groups: Groups) -> None:
    groups.mount("cgroup2")
    groups.enter("0::/user.slice")
    groups.limit("all/user.slice", memory_max=str(2 * GIB), memory_high=str(GIB))
    assert groups.memory() == GIB
    assert "memory.high" in allowed_memory(groups.process).source


@pytest.mark.parametrize(
    ("quota", "cores"), [("-1", None), ("150000", 1), ("400000", 4), ("20000", 1)]
)
def test_a_quota_of_version_1(groups: Groups, quota: str, cores: int | None) -> None:
    groups.mount("cgroup", "rw,cpu,cpuacct", name="cpu,cpuacct")
    groups.mount("cgroup", "rw,memory", name="memory")
    groups.enter(
        "5:cpu,cpuacct:/kubepods/pod1/c1", "4:memory:/kubepods/pod1/c1", "1:name=systemd:/"
    )
    groups.limit("cpu,cpuacct/kubepods/pod1", cpu_cfs_quota_us=quota, cpu_cfs_period_us="100000")
    groups.limit("cpu,cpuacct/kubepods/pod1/c1", cpu_cfs_quota_us="-1", cpu_cfs_period_us="100000")
    groups.limit("memory/kubepods/pod1/c1", memory_limit_in_bytes="9223372036854771712")
    assert (groups.cores(), groups.memory()) == (cores, None)
    groups.limit("memory/kubepods", memory_limit_in_bytes=str(GIB))
    assert groups.memory() == GIB
    assert allowed_memory(groups.process).source == (
        "the container's memory.limit_in_bytes, cgroup v1"
    )


def test_a_container_that_sees_its_own_part_of_the_tree_only(groups: Groups) -> None:
    """As Docker with version 1, without a namespace of control groups."""
    groups.mount("cgroup", "rw,cpu", root="/docker/abc", name="cpu")
    groups.limit("cpu", cpu_cfs_quota_us="200000", cpu_cfs_period_us="100000")
    groups.limit("cpu/inner", cpu_cfs_quota_us="100000", cpu_cfs_period_us="100000")
    groups.enter("3:cpu:/docker/abc")
    assert groups.cores() == 2
    groups.enter("3:cpu:/docker/abc/inner")
    assert groups.cores() == 1
    groups.enter("3:cpu:/elsewhere")
    assert groups.cores() == 2


def test_a_namespace_of_control_groups_ends_at_its_root(groups: Groups) -> None:
    groups.mount("cgroup2", root="/")
    groups.limit("all", cpu_max="200000 100000")
    groups.enter("0::/../../other.slice")
    assert groups.cores() == 2


def test_both_versions_at_once(groups: Groups) -> None:
    """As systemd's hybrid: version 2 holds the processes, version 1 the limits."""
    groups.mount("cgroup2", name="unified")
    groups.mount("cgroup", "rw,cpu,cpuacct", name="cpu")
    groups.mount("cgroup", "rw,memory", name="memory")
    groups.enter("5:memory:/s", "4:cpu,cpuacct:/s", "0::/s")
    groups.limit("unified/s")
    groups.limit("cpu/s", cpu_cfs_quota_us="700000", cpu_cfs_period_us="100000")
    groups.limit("memory/s", memory_limit_in_bytes=str(GIB))
    assert (groups.cores(), groups.memory()) == (7, GIB)
    groups.limit("unified/s", cpu_max="600000 100000")
    assert groups.cores() == 6


@pytest.mark.parametrize("text", ["", "nonsense\n", "0::/\n"])
def test_a_system_without_control_groups_limits_nothing(groups: Groups, text: str) -> None:
    if text:
        (groups.process / "mountinfo").write_text(text, encoding="utf-8")
    assert (groups.cores(), groups.memory()) == (None, None)
    assert allowed_cores(groups.process) == Allowance(amount=64, present=64)
    assert allowed_memory(groups.process).amount == MEMORY


def test_the_affinity_counts_beside_the_quota(
    groups: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups.mount("cgroup2")
    groups.enter("0::/")
    groups.limit("all", cpu_max="400000 100000")
    assert groups.cores() == 4
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 6})
    found = allowed_cores(groups.process)
    assert describe_limits(found, Allowance(amount=1, present=1)) == (
        "3 cores (of 64; limit of the CPU affinity)",
    )
