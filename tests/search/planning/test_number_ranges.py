"""Numbers that no training takes are refused with their range, wherever they stand."""

from pathlib import Path

import pytest
import yaml

from search.run import main
from tests.remedies.searches import write_space
from tests.trainables.conftest import SMALL
from trainables.config import ConfigError
from trainables.final_model.best_config import read_best

RANGES = {
    "image_size": (10**9, "image_size must lie in 32…224 pixels, but got image_size=1000000000."),
    "batch_size": (10**9, "batch_size must lie in 2…65536"),
    "micro_batch_size": (10**9, "micro_batch_size must lie in 2…65536"),
}
"""Field -> a number that is too large, and the sentence about it."""


@pytest.mark.parametrize("field", RANGES)
def test_in_set(field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    number, sentence = RANGES[field]
    out = ["--out", str(tmp_path), "--data", str(tmp_path / "data"), "--dry-run"]
    assert main(["--space", "demo", "--set", f"{field}={number}", *out]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("field", ["image_size", "batch_size"])
def test_in_a_space(field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    number, sentence = RANGES[field]
    out = ["--out", str(tmp_path), "--data", str(tmp_path / "data"), "--dry-run"]
    how = f'int("{field}", 32, {number}, log=True)'
    space = write_space(tmp_path / "mine.py", **{field: how})
    assert main(["--space", str(space), *out]) == 2
    assert sentence.partition(", but got")[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "number", "sentence"),
    [
        *((field, number, sentence) for field, (number, sentence) in RANGES.items()),
        ("epochs", 10**12, "epochs must lie in 1…100000, but got epochs=1000000000000."),
        ("seed", 2**64, "seed must lie in 0…9223372036854775807"),
    ],
)
def test_in_a_best_configuration(field: str, number: int, sentence: str, tmp_path: Path) -> None:
    values = {"config": SMALL.to_dict() | {field: number}, "dataset": "demo"}
    (tmp_path / "best.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_best(tmp_path / "best.yaml")
    (found,) = caught.value.errors
    assert found.startswith(f"{tmp_path / 'best.yaml'}: {sentence}")
