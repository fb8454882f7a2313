"""Files of weights that claim more than they hold, and values that nothing can be computed with."""

import io
import json
import pickle
import re
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from common.errors import UserError
from trainables.final_model.saved_model import read_model
from trainables.models.weights_file import find_tensor_fault, read_weights

ONES = {"fc.weight": torch.ones(4), "fc.bias": torch.ones(2)}
TEN_TB = 10 * 10**12


def changed_zip(path: Path, old: bytes, new: bytes) -> Path:
    """Writes a file of weights in whose pickle the first `old` after the first «cpu» is `new`."""
    whole = io.BytesIO()
    torch.save({"fc.weight": torch.ones(4)}, whole)
    with zipfile.ZipFile(whole) as read, zipfile.ZipFile(path, "w") as written:
        for name in read.namelist():
            data = read.read(name)
            if name.endswith("data.pkl"):
                head, cpu, tail = data.partition(b"cpu")
                assert old in tail
                data = head + cpu + tail.replace(old, new, 1)
            written.writestr(name, data)
    return path


def number(value: int) -> bytes:
    """A whole number of any size, as a pickle holds it."""
    return pickle.dumps(value, protocol=2)[2:-1]


def claimed_elements(path: Path) -> Path:
    return changed_zip(path, b"K\x04", number(TEN_TB))


def claimed_shape(path: Path) -> Path:
    """The tensor has steps of length 0, so that 10 TB of it share one stored value."""
    return changed_zip(path, b"K\x04\x85q\x08K\x01", number(TEN_TB) + b"\x85q\x08K\x00")


def claimed_in_the_old_format(path: Path) -> Path:
    whole = io.BytesIO()
    torch.save({"fc.weight": torch.ones(4)}, whole, _use_new_zipfile_serialization=False)
    head, cpu, tail = whole.getvalue().partition(b"cpu")
    path.write_bytes(head + cpu + tail.replace(b"K\x04", number(TEN_TB), 1))
    return path


def without_storage(path: Path) -> Path:
    torch.save({"fc.weight": torch.empty(TEN_TB, device="meta")}, path)
    return path


@pytest.mark.parametrize(
    "write", [claimed_elements, claimed_shape, claimed_in_the_old_format, without_storage]
)
def test_ten_terabytes_in_a_small_file_are_refused(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = write(tmp_path / "weights.pt")
    assert path.stat().st_size < 10_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=re.escape(str(path))):
        read_weights(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("header", [TEN_TB, 60_000_000])
def test_a_safetensors_file_that_claims_too_much_is_refused(header: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", header) + b"{}")
    with pytest.raises(UserError, match="is damaged or is something else"):
        read_model(path)
    entry = {"dtype": "F32", "shape": [TEN_TB // 4], "data_offsets": [0, TEN_TB]}
    text = json.dumps({"fc.weight": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"1234")
    with pytest.raises(UserError, match="is damaged or is something else"):
        read_model(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_values_that_are_not_finite_are_named(
    value: float, dtype: torch.dtype, tmp_path: Path
) -> None:
    bias = torch.zeros(9, dtype=dtype)
    assert find_tensor_fault(ONES | {"bias": bias}) is None
    bias[4] = value
    torch.save(ONES | {"bias": bias}, tmp_path / "weights.pt")
    with pytest.raises(UserError, match=r"weights\.pt has NaN or infinite values in bias: fetch"):
        read_weights(tmp_path / "weights.pt")


@pytest.mark.parametrize(
    ("tensor", "fault"),
    [
        (torch.ones(1).expand(8), "fewer values than claimed in it"),
        (torch.ones(3).to_sparse(), "no plain numbers in it"),
        (torch.empty(3, device="meta"), "no plain numbers in it"),
        (torch.ones(4, 6)[:, ::2], None),
        (torch.ones(4, 6).T, None),
        (torch.tensor(3), None),
        (torch.empty(0), None),
        (torch.ones(2, dtype=torch.bool), None),
        (torch.full((2,), 1e300, dtype=torch.float64), None),
    ],
)
def test_usual_tensors_pass(tensor: Tensor, fault: str | None) -> None:
    found: Any = find_tensor_fault({"it": tensor})
    assert found == fault
