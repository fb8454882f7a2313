"""Arrays that are written some rows at a time: what outlives their writer, and what doesn't."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from common.files import lock_folder
from datasets import kept_outputs
from datasets.kept_outputs import PART, ROWS, make_room, read_outputs, room_for, write_outputs

WHOLE = np.arange(60, dtype=np.float32).reshape(10, 3, 2)


def write(path: Path, rows: NDArray[np.float32], *, fail: Exception | None = None) -> int:
    """Appends rows in pairs, up to `WHOLE`'s ten, and returns after how many it went on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_outputs(path, WHOLE.shape, WHOLE.dtype) as writer:
        first = writer.rows
        for begin in range(first, len(rows), 2):
            writer.append(rows[begin : begin + 2])
        if fail:
            raise fail
    return first


def test_an_array_is_complete_only_with_all_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "view-0" / "outputs.npy"
    assert write(path, WHOLE[:4]) == 0
    assert read_outputs(path) is None
    with pytest.raises(RuntimeError, match="the stages failed"):
        write(path, WHOLE[:6], fail=RuntimeError("the stages failed"))
    assert write(path, WHOLE) == 6
    found = read_outputs(path)
    assert found is not None
    assert np.array_equal(found, WHOLE)
    assert [each.name for each in path.parent.iterdir()] == ["outputs.npy"]


def test_on_a_full_disk_nothing_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "outputs.npy"
    with pytest.raises(OSError, match="no space") as error:
        write(path, WHOLE[:4], fail=OSError(errno.ENOSPC, "no space"))
    assert error.value.filename == str(tmp_path)  # a run may lie on another disk
    assert write(path, WHOLE) == 0
    found = read_outputs(path)
    assert found is not None
    assert np.array_equal(found, WHOLE)


def cut_header(part: Path) -> None:
    part.write_bytes(b"no array" + part.read_bytes()[8:])


def cut_rows(part: Path) -> None:
    os.truncate(part, part.stat().st_size - 1)


def damage_count(part: Path) -> None:
    part.with_name(ROWS).write_text("four", encoding="utf-8")


def lose_count(part: Path) -> None:
    part.with_name(ROWS).unlink()


@pytest.mark.parametrize("damage", [cut_header, cut_rows, damage_count, lose_count])
def test_what_is_damaged_is_begun_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "outputs.npy"
    write(path, WHOLE[:4])
    damage(path.with_name(PART))
    assert write(path, WHOLE) == 0
    found = read_outputs(path)
    assert found is not None
    assert np.array_equal(found, WHOLE)


def test_rows_that_may_not_be_on_the_disk_are_written_again(tmp_path: Path) -> None:
    path = tmp_path / "outputs.npy"
    write(path, WHOLE[:4])
    with path.with_name(PART).open("ab") as file:
        file.write(bytes(60))  # two rows and a half, whose writer was killed
    assert write(path, WHOLE) == 4
    found = read_outputs(path)
    assert found is not None
    assert np.array_equal(found, WHOLE)


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from datasets import kept_outputs
kept_outputs.SAVE_EVERY_S = 0.0
rows = np.arange(60, dtype=np.float32).reshape(10, 3, 2)
with kept_outputs.write_outputs(Path(sys.argv[1]), rows.shape, rows.dtype) as writer:
    for begin in (0, 2, 4):
        writer.append(rows[begin : begin + 2])
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_killed_writer_s_rows_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "outputs.npy"
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert write(path, WHOLE) == 6
    found = read_outputs(path)
    assert found is not None
    assert np.array_equal(found, WHOLE)


def test_incomplete_arrays_make_room_unless_they_are_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An array of ten rows has 240 bytes, and 128 before them; two thirds of it are written."""
    paths = [tmp_path / key / "view-0" / "outputs.npy" for key in "abc"]
    for age, path in enumerate(paths):
        write(path, WHOLE[:6])
        os.utime(path.with_name(PART), (age, age))
    monkeypatch.setattr(kept_outputs, "BUDGET_BYTES", 800)
    assert room_for(tmp_path) == 800
    with lock_folder(paths[0].parent):
        make_room(tmp_path, 300, besides=tmp_path / "c")
    left = [path.with_name(PART).exists() for path in paths]
    assert left == [True, False, True]
