"""Files of arrays: what they claim is compared with their size before it is allocated."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from common.array_files import read_arrays


def member(shape: tuple[int, ...], descr: str, data: bytes) -> bytes:
    """An array's entry, with a header of its own."""
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + data


def write(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_arrays_are_read_as_they_were_written(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", some=np.arange(6).reshape(2, 3), none=np.zeros((0, 9)))
    read = read_arrays(tmp_path / "a.npz")
    assert (read["some"].tolist(), read["none"].shape) == ([[0, 1, 2], [3, 4, 5]], (0, 9))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (member((10**13,), "|u1", b"1234"), "some.npy in it claims 10,000,000,000,000 values"),
        (member((9, 10**6), "<f8", b"1234"), "claims 9,000,000 values"),
        (member((1,), "|O", b"1234"), "allow_pickle"),
        (member((1,), "|u1", b"") + bytes(200 << 20), "it unpacks to 209,715,"),
        (b"no array", "magic string"),
    ],
)
def test_a_claim_that_the_file_can_t_hold_is_refused(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.npz", some=content)
    assert path.stat().st_size < 300_000
    with pytest.raises(ValueError, match=message):
        read_arrays(path)
