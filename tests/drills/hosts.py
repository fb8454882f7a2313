"""Hosts on one machine, each with an address, a name, a home and disks of its own.

A host is a process in namespaces of its own, on a bridge that they share. All of them live in
namespaces of the process that makes them, which `apart` starts: with it they are gone, however it
ends, and nothing outside has seen them. No rights of root are needed.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.drills.searches import ENVIRONMENT, ROOT

NETWORK = "10.77.0"
ALONE = ["--net", "--mount", "--uts"]
APART = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork",
         "--kill-child", "--mount-proc"]  # fmt: skip


def why_not() -> str:
    """What this machine lacks for hosts, in words; empty where it lacks nothing."""
    make = "ip link add bridge type bridge && unshare --net --mount --uts true"
    try:
        done = subprocess.run([*APART, "sh", "-c", make], capture_output=True, encoding="utf-8")
    except FileNotFoundError as error:
        return f"needs `unshare` of util-linux ({error})"
    return f"needs namespaces, `ip` of iproute2 and bridges ({done.stderr.strip()})" * bool(
        done.returncode
    )


def apart(module: str, *arguments: str) -> list[str]:
    """The command that runs a module where it may make hosts."""
    return [*APART, sys.executable, "-m", module, *arguments]


def make_bridge() -> None:
    """To be called once, before the first host: the network that joins them."""
    for line in (
        "link set lo up", "link add bridge type bridge",
        f"address add {NETWORK}.254/24 dev bridge", "link set bridge up",
    ):  # fmt: skip
        _ip(line)


def _ip(line: str) -> None:
    subprocess.run(["ip", *line.split()], check=True)


class Host:
    """`hidden` are folders that it finds empty; what it writes goes below `folder`."""

    def __init__(self, number: int, folder: Path, hidden: Sequence[Path] = ()) -> None:
        self.name, self.address = f"host{number}", f"{NETWORK}.{number}"
        self.folder = folder
        for below in ("home", "ray"):
            (folder / below).mkdir(parents=True)
        Path("/tmp/ray").mkdir(exist_ok=True)
        # A pipe as its input: it ends when this process does.
        self._holder = subprocess.Popen(
            ["unshare", *ALONE, "sh", "-c", "echo; exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._holder.stdout
        self._holder.stdout.read(1)
        _ip(f"link add {self.name} type veth peer name eth0 netns {self._holder.pid}")
        _ip(f"link set {self.name} master bridge up")
        self._do(f"hostname {self.name}")
        for line in (
            f"address add {self.address}/24 dev eth0", "link set lo up", "link set eth0 up",
            f"route add default via {NETWORK}.254",
        ):  # fmt: skip
            self._do(f"ip {line}")
        for path in (*hidden, Path("/dev/shm")):
            self._do(f"mount -t tmpfs none {path}")
        self._do(f"mount --bind {folder / 'ray'} /tmp/ray")

    def _do(self, line: str) -> None:
        subprocess.run([*self._inside, *line.split()], check=True)

    @property
    def _inside(self) -> list[str]:
        return ["nsenter", "-t", str(self._holder.pid), *ALONE]

    def start(
        self, command: Sequence[str], output: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """A command there, which prints into a file. It leads a session: the kernel shares cores
        out between these, as between machines.
        """
        own = {"HOME": str(self.folder / "home"), "XDG_CACHE_HOME": str(self.folder / "cache")}
        with output.open("ab") as file:
            return subprocess.Popen(
                [*self._inside, f"--wd={ROOT}", *command],
                env=ENVIRONMENT | own | dict(environment), stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def cut_off(self) -> None:
        """Takes the cable out."""
        _ip(f"link set {self.name} down")

    def bring_back(self) -> None:
        """Puts it in again."""
        _ip(f"link set {self.name} up")
