"""The key that this user's files are signed with."""

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from common.ownership import is_signed, key_path, sign, why_unsigned

VALUE = {"options": {"space": "demo"}, "numbers": [1, 2.5]}


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    return tmp_path / "user"


def test_a_signature_is_of_one_kind_one_value_and_one_user(
    user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mac = sign("manifest.json", VALUE)
    assert mac
    assert len(mac) == 64
    assert is_signed("manifest.json", VALUE, mac)
    assert not is_signed("best.yaml", VALUE, mac)
    assert not is_signed("manifest.json", VALUE | {"numbers": [1, 2.6]}, mac)
    for other in (None, "", 5, mac[:-1], "\udcff" * 64):
        assert not is_signed("manifest.json", VALUE, other)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another"))
    assert not is_signed("manifest.json", VALUE, mac)
    assert not key_path().exists()  # reading makes no key
    assert sign("manifest.json", VALUE) != mac


def test_the_key_is_open_to_its_user_alone(user: Path) -> None:
    sign("manifest.json", VALUE)
    found = key_path().stat()
    assert (stat.S_IMODE(found.st_mode), found.st_size) == (0o600, 32)
    assert [path.name for path in key_path().parent.iterdir()] == ["signing-key"]


@pytest.mark.parametrize("fault", ["open to the group", "short", "a FIFO"])
def test_a_key_that_others_may_know_signs_nothing(user: Path, fault: str) -> None:
    mac = sign("manifest.json", VALUE)
    key = key_path()
    if fault == "open to the group":
        key.chmod(0o640)
    elif fault == "short":
        key.write_bytes(b"1" * 31)
    else:
        key.unlink()
        os.mkfifo(key, 0o600)
    assert sign("manifest.json", VALUE) is None
    assert not is_signed("manifest.json", VALUE, mac)
    reason = why_unsigned()
    assert reason
    assert reason.startswith(f"{key}: it must have 32 bytes")


def test_a_user_whose_folder_can_t_be_written_signs_nothing(user: Path) -> None:
    user.write_text("a file in place of the folder", encoding="utf-8")
    assert sign("manifest.json", VALUE) is None
    assert why_unsigned()


def test_processes_that_begin_at_once_make_one_key(user: Path) -> None:
    with get_context("spawn").Pool(4) as pool:
        made = pool.starmap(sign, [("manifest.json", VALUE)] * 12)
    assert len(set(made)) == 1
    assert made[0]
    with ThreadPoolExecutor(4) as threads:
        again = list(threads.map(lambda _: sign("manifest.json", VALUE), range(12)))
    assert set(again) == set(made)
