"""Whole searches on machines that make it hard for Ray to start: each ends well, or is refused in a
sentence at once. `DRILL_STARTS` says how often each runs.
"""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.drills.other_users import STRANGER, apart, as_user, folder_of
from tests.drills.searches import ENVIRONMENT, PATIENCE_S, ROOT, family, search, survivors

STARTS = int(os.environ.get("DRILL_STARTS", "3"))

pytestmark = [
    pytest.mark.drill,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs the rights of root"),
    pytest.mark.parametrize("time_number", range(STARTS)),
]


def small(out: Path, data: Path, *more: str) -> list[str]:
    return search(out, data, "--epochs", "1", "--finalists", "0", *more, trials=1)


def environment(**changes: str | None) -> dict[str, str]:
    """The environment of this process without what names a place of Ray's, and with changes."""
    free = {k: v for k, v in ENVIRONMENT.items() if not k.startswith("RAY_")}
    return {k: v for k, v in (free | changes).items() if v is not None}


def run(
    command: Sequence[str], around: Mapping[str, str], prepare: Callable[[], None] | None = None
) -> tuple[int, str, float]:
    """Runs a command. Returns its exit code, what it printed, and the seconds it took."""
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env=around, capture_output=True, encoding="utf-8",
        timeout=PATIENCE_S, preexec_fn=prepare,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr, time.monotonic() - began


def check_well(out: Path, told: tuple[int, str, float], what: str) -> None:
    """Checks that a search has ended well, and that nothing of Ray is left in its run."""
    code, printed, seconds = told
    assert code == 0, printed
    assert (out / "run" / "best.yaml").exists(), printed
    assert not (out / "run" / "ray").is_symlink()
    print(f"{what}: ended well after {seconds:.0f} s")


def check_refused(told: tuple[int, str, float], words: str, what: str) -> None:
    """Checks that a search was refused, in one sentence and soon."""
    code, printed, seconds = told
    assert code == 2, printed
    lines = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, printed
    assert words in lines[0], printed
    assert seconds < 60, seconds
    print(f"{what}: refused after {seconds:.0f} s")


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A short TMPDIR, in which nothing may be left that others can foresee or that is Ray's.

    The driver ends too quickly for the empty folders of other packages, with names that are drawn.
    """
    path = Path(mkdtemp(dir="/tmp"))
    yield path
    left = [each.name for each in path.iterdir()]
    shutil.rmtree(path)
    assert [each for each in left if not each.startswith(("tmp", "pymp-"))] == []


@pytest.mark.parametrize("home", [None, "/proc/nowhere"])
def test_without_a_home(
    tmp_path: Path, demo_data: Path, temporary: Path, home: str | None, time_number: int
) -> None:
    around = environment(HOME=home, TMPDIR=str(temporary), XDG_CACHE_HOME=None)
    told = run(small(tmp_path, demo_data), around)
    check_well(tmp_path, told, f"HOME={home}")
    assert "RAY_AUTH_TOKEN_PATH=" in told[1]


def test_an_unknown_user(demo_data: Path, time_number: int) -> None:
    """It has neither a name nor a home, and its limit of threads is none of root's."""
    with folder_of(STRANGER) as mine:
        data = shutil.copytree(demo_data, mine / "data")
        for path in (data, *data.rglob("*")):
            os.chown(path, STRANGER, STRANGER)
        around = environment(HOME=None, USER=None, LOGNAME=None, TMPDIR=str(mine))
        told = run(as_user(STRANGER, small(mine / "out", data)), around)
        check_well(mine / "out", told, "unknown user")
        assert list(mine.glob("ray-*")) == []


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        (resource.RLIMIT_NOFILE, 64, "The limit of open files must be ≥ 104 for Ray, but"),
        (resource.RLIMIT_NPROC, 200, "The limit of processes and threads must be ≥ "),
        (resource.RLIMIT_NOFILE, 256, ""),
        (resource.RLIMIT_NPROC, 600, ""),
    ],
)
def test_low_limits(demo_data: Path, limit: int, value: int, words: str, time_number: int) -> None:
    with folder_of(STRANGER) as mine:
        data = shutil.copytree(demo_data, mine / "data")
        for path in (data, *data.rglob("*")):
            os.chown(path, STRANGER, STRANGER)
        around = environment(HOME=str(mine), TMPDIR=str(mine))
        name = {resource.RLIMIT_NOFILE: "nofile", resource.RLIMIT_NPROC: "nproc"}[limit]
        command = as_user(STRANGER, ["prlimit", f"--{name}={value}", *small(mine / "out", data)])
        told = run(command, around)
        if words:
            check_refused(told, words, f"{name} {value}")
        else:
            check_well(mine / "out", told, f"{name} {value}")


def test_a_long_tmpdir(tmp_path: Path, demo_data: Path, time_number: int) -> None:
    long = tmp_path / ("a" * 90)
    long.mkdir()
    told = run(small(tmp_path, demo_data), environment(TMPDIR=str(long)))
    check_well(tmp_path, told, "TMPDIR of more than 107 bytes")
    assert list(long.iterdir()) == []


def test_a_full_tmp(demo_data: Path, time_number: int) -> None:
    out = Path(mkdtemp(dir="/var/tmp"))
    try:
        data = shutil.copytree(demo_data, out / "data")
        fill = (
            "mount -t tmpfs -o size=4m none /tmp && (cat /dev/zero >/tmp/full 2>&1; true) && "
            'exec "$@"'
        )
        told = run([*apart(fill), *small(out, data)], environment(TMPDIR=None))
        check_well(out, told, "full /tmp")
        nowhere = "; ".join(
            f"mount -t tmpfs -o size=4m none {place}" for place in ("/tmp", "/dev/shm")
        )
        var = f"mkdir -p /run/kept && mount --bind {out} /run/kept && {nowhere}"
        script = f'{var} && mount -t tmpfs -o size=4m none /var/tmp && exec "$@"'
        told = run([*apart(script), *small(Path("/run/kept/o"), Path("/run/kept/data"))],
                   environment(TMPDIR=None))  # fmt: skip
        words = "/tmp has 4 MiB, /var/tmp has 4 MiB, /dev/shm has 4 MiB; free some space in one"
        check_refused(told, words, "all places full")
    finally:
        shutil.rmtree(out)


def test_ports_that_are_taken(
    tmp_path: Path, demo_data: Path, temporary: Path, time_number: int
) -> None:
    with ExitStack() as stack:
        for port in (6379, 6380, 8076, 8265, 8266, 10001, 52365, 52366, 44217, 44227):
            taken = stack.enter_context(socket.socket())
            try:
                taken.bind(("0.0.0.0", port))
                taken.listen()
            except OSError:
                pass  # somebody else has taken it
        told = run(small(tmp_path, demo_data), environment(TMPDIR=str(temporary)))
    check_well(tmp_path, told, "ports taken")


@contextmanager
def another_ray(folder: Path) -> Iterator[str]:
    """Another Ray of this machine, with a token of its own. Yields its address."""
    around = environment(RAY_AUTH_TOKEN="another" * 8, RAY_AUTH_MODE="token")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("ray")), "start", "--head", "--num-cpus=1", "--block",
         f"--port={address.partition(':')[2]}", f"--temp-dir={folder}",
         "--node-ip-address=127.0.0.1", "--include-dashboard=false",
         "--object-store-memory=100000000"],
        env=around, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    host, port = address.split(":")
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if not probe.connect_ex((host, int(port))):
                    break
            time.sleep(0.1)
        yield address
    finally:
        started = family(process)
        process.send_signal(signal.SIGTERM)
        process.wait()
        survivors(started)


def test_another_ray(tmp_path: Path, demo_data: Path, temporary: Path, time_number: int) -> None:
    with folder_of(0) as folder, another_ray(folder) as address:
        around = environment(TMPDIR=str(temporary), RAY_ADDRESS=address)
        told = run(small(tmp_path, demo_data), around)
    check_well(tmp_path, told, "another Ray, named by RAY_ADDRESS")


def test_dead_proxies(tmp_path: Path, demo_data: Path, temporary: Path, time_number: int) -> None:
    dead = "http://127.0.0.1:9"
    names = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")
    proxies = dict.fromkeys((*names, *map(str.upper, names)), dead)
    around = environment(TMPDIR=str(temporary), no_proxy=None, NO_PROXY=None, **proxies)
    told = run(small(tmp_path, demo_data), around)
    check_well(tmp_path, told, "dead proxies")
    assert told[2] < 240


@pytest.mark.parametrize("name", ["INT", "KILL"])
def test_nothing_outlives_a_search(
    tmp_path: Path, demo_data: Path, temporary: Path, name: str, time_number: int
) -> None:
    """After Ctrl-C neither a process nor a file is left; after `kill -9` the next search removes
    what is.
    """
    around = environment(TMPDIR=str(temporary))
    process = subprocess.Popen(
        search(tmp_path, demo_data, trials=20), cwd=ROOT, env=around, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, encoding="utf-8", start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    for line in process.stdout:
        if "epoch  1/" in line:
            break
    assert (tmp_path / "run" / "ray" / "logs" / "raylet.out").exists()
    assert (tmp_path / "run/ray/metrics/prometheus/prometheus.yml").exists()
    (folder,) = temporary.glob("ray-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    started = family(process)
    process.send_signal(getattr(signal, f"SIG{name}"))
    process.communicate()
    if name == "INT":
        assert survivors(started, 5.0) == []
        assert list(temporary.glob("ray-*")) == []
    else:
        assert survivors(started) == []
        assert list(temporary.glob("ray-*")) == [folder]
        told = run(small(tmp_path / "next", demo_data), around)
        check_well(tmp_path / "next", told, "after kill -9")
    print(f"SIG{name}: {len(started)} processes, none left")
