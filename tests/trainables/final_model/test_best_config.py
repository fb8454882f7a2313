"""A best.yaml that somebody has edited: its numbers are those that `--set` reads."""

from pathlib import Path
from typing import Any

import pytest

from results.export import export
from results.records import TrialState
from results.store import RunStore
from search.config.command_line import fixed_fields
from search.config.options import SearchOptions
from tests.results.example_run import add_trial
from tests.results.test_export import MANIFEST, trial
from trainables.config import ConfigError
from trainables.final_model.best_config import read_best


def exported(run: Path) -> Path:
    """The best.yaml of a run of this name."""
    store = RunStore.create(run, MANIFEST | {"name": run.name})
    add_trial(store, trial(0, TrialState.COMPLETE, 0.5))
    store.close()
    return export(run)


def edited(path: Path, field: str, text: str) -> Path:
    """A best.yaml with another text in a field, without its seals."""
    old = ("sha256:", "schema_version:", f"  {field}:")
    lines = [
        line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(old)
    ]
    lines.insert(lines.index("config:") + 1, f"  {field}: {text}")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("lr", "1e-3", 0.001),
        ("lr", "5e-2", 0.05),
        ("lr", "1", 1),
        ("batch_size", "0100", 100),
        ("batch_size", "007", 7),
        ("head_width", "0x20", 32),
        ("weights", "007", "007"),
        ("flip", "yes", True),
    ],
)
def test_it_reads_the_numbers_that_set_reads(
    tmp_path: Path, field: str, text: str, value: Any
) -> None:
    best = read_best(edited(exported(tmp_path / "run"), field, text))
    assert getattr(best.config, field) == value
    assert fixed_fields(SearchOptions(set=(f"{field}={text}",))) == {field: value}


@pytest.mark.parametrize(("field", "text"), [("batch_size", "1:04"), ("lr", "0:30")])
def test_what_is_no_number_is_refused(tmp_path: Path, field: str, text: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"{field} must be a .* number, but got {field}='{text}'"
    ):
        read_best(edited(exported(tmp_path / "run"), field, text))


def test_a_run_with_a_name_like_a_number_keeps_its_seal(tmp_path: Path) -> None:
    """Its name stands in best.yaml without quotes where YAML 1.1 reads a text."""
    for name in ("1e5", "0100", "08", "1:04"):
        assert read_best(exported(tmp_path / name)).selection["provenance"]["run"] == name
