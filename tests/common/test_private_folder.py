"""Private folders: nobody else enters them, and those of dead processes are removed."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from common.private_folder import (
    NoRoomError,
    choose_place,
    make_private_folder,
    places,
    private_cache,
    remove_leftovers,
)
from search.preflight import ROOT

OTHER = """
import sys
import tempfile
from pathlib import Path
from common.private_folder import make_private_folder
folder = make_private_folder(Path(sys.argv[1]), "ray-")
print(folder.path, flush=True)
sys.stdin.read()
"""


def test_a_folder_is_private_and_its_name_is_drawn(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folders = [make_private_folder(tmp_path, "ray-") for _ in range(20)]
    finally:
        os.umask(before)
    assert len({folder.path.name for folder in folders}) == 20
    for folder in folders:
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert len(folder.path.name) == 12
        folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_only_folders_of_dead_processes_are_removed(tmp_path: Path) -> None:
    """With a real process that lives, dies by `kill -9`, and leaves a file open in another one."""
    command = [sys.executable, "-c", OTHER, str(tmp_path)]
    other = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert other.stdout
    theirs = Path(other.stdout.readline().strip())
    mine = make_private_folder(tmp_path, "ray-")
    foreign = tmp_path / "ray-12345678"
    foreign.mkdir()  # without a lock: no search has made it
    assert remove_leftovers([tmp_path], "ray-") == []
    other.kill()
    other.communicate()
    child = subprocess.Popen(
        ["sh", "-c", f"exec 3>{theirs}/log; echo; read line"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout
    child.stdout.readline()
    assert remove_leftovers([tmp_path], "ray-") == []
    child.communicate(b"\n")
    assert remove_leftovers([tmp_path], "ray-") == [theirs]
    assert sorted(tmp_path.iterdir()) == sorted([mine.path, foreign])
    mine.remove()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    made = make_private_folder(tmp_path, "ray-")
    os.close(made._lock)  # as if its process had died
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getuid", lambda: 4711)
        assert remove_leftovers([tmp_path], "ray-") == []
    assert remove_leftovers([tmp_path], "ray-") == [made.path]


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    folder, target = tmp_path / "ray-abcdefgh", tmp_path / "precious"
    folder.mkdir()
    target.write_text("", encoding="utf-8")
    (folder / "lock").symlink_to(target)
    assert remove_leftovers([tmp_path], "ray-") == []
    assert folder.exists()


def test_the_first_place_that_fits_is_chosen(tmp_path: Path) -> None:
    short, long = tmp_path / "s", tmp_path / ("l" * 50)
    for path in (short, long):
        path.mkdir()
    longest = len(str(short))
    assert choose_place([long, short], longest, 1 << 20) == short
    with pytest.raises(NoRoomError, match=r"of at most 5 bytes and 1 MiB of free space, but") as no:
        choose_place([long, Path("relative"), Path("/no")], 5, 1 << 20)
    assert f"{long} is too long, relative is no absolute path, /no can't be used" in str(no.value)
    with pytest.raises(NoRoomError, match=rf"{short} has \d+ MiB; free some space"):
        choose_place([short], longest, 1 << 60)


def test_tmpdir_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))
    monkeypatch.delenv("TMPDIR", raising=False)
    assert places() == usual
    monkeypatch.setenv("TMPDIR", "/scratch")
    assert places() == (Path("/scratch"), *usual)


def test_a_cache_lies_in_the_home_or_in_a_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    cache = private_cache("compiled")
    assert cache == tmp_path / ".cache" / "tiny-imagenet-search" / "compiled"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for home in ("/proc/nowhere", None):
        monkeypatch.delenv("HOME")
        if home:
            monkeypatch.setenv("HOME", home)
        elsewhere = private_cache("compiled")
        assert (elsewhere.parent, stat.S_IMODE(elsewhere.stat().st_mode)) == (tmp_path, 0o700)
        monkeypatch.setenv("HOME", str(tmp_path))


def test_temporary_files_come_here_until_the_folder_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for usual in (None, str(tmp_path)):
        monkeypatch.setattr(tempfile, "tempdir", None)
        monkeypatch.delenv("TMPDIR", raising=False)
        if usual:
            monkeypatch.setenv("TMPDIR", usual)
        before = tempfile.gettempdir()
        folder = make_private_folder(tmp_path, "ray-")
        folder.take_temporary_files()
        assert tempfile.gettempdir() == str(folder.path)
        assert os.environ["TMPDIR"] == str(folder.path)
        folder.remove()
        assert tempfile.gettempdir() == before
        assert os.environ.get("TMPDIR") == usual


def test_the_usual_place_returns_also_where_it_takes_no_file_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    folder = make_private_folder(tmp_path, "ray-")
    folder.take_temporary_files()
    folder.remove()
    assert tempfile.gettempdir() == "/proc/nowhere"


def test_a_cache_that_no_home_takes_goes_with_its_process(tmp_path: Path) -> None:
    code = (
        "from common.private_folder import private_cache\n"
        "path = private_cache('outputs')\n"
        "(path / 'file').write_text('made anew', encoding='utf-8')\n"
        "print(path)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"TMPDIR": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    made = Path(done.stdout.strip())
    assert made.parent == tmp_path
    assert not made.exists()
