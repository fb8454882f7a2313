"""All that a user can mend is one family of errors: joined, pickled and printed alike."""

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.cli import refuse
from common.errors import RecordError, SearchError, UserError
from search.config.options import OptionsError
from search.preflight import PreflightError
from trainables.config import ConfigError

ROOT = Path(__file__).parent.parent.parent
TWO = ["lr must be > 0, but got -1.", "epochs must be ≥ 1, but got 0."]

NO_USERS = {
    "JoinError",  # ends a measurement, after which a search goes on with fewer trials on a GPU
    "NoMemoryError",  # is a JoinError
    "PreflightError",  # said before anything of the project is imported
    "PauseError",  # pauses a training, whose command prints why
    "TrialMemoryError",  # fails one trial, and ends no command
}
"""Errors that no command prints as they are."""


def error_classes() -> Iterator[tuple[str, set[str]]]:
    """(name, names of its bases) of each class of errors in the source."""
    for room in ("common", "search", "trainables", "datasets", "results"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                    yield node.name, {ast.unparse(base) for base in node.bases}


def test_every_error_that_a_user_can_mend_is_of_the_family() -> None:
    found = dict(error_classes())
    assert len(found) > 20
    others = {name for name, bases in found.items() if "UserError" not in bases}
    assert others == NO_USERS | {"UserError"}


@pytest.mark.parametrize(
    "kind", [UserError, SearchError, OptionsError, ConfigError, RecordError, PreflightError]
)
def test_an_error_joins_its_faults_and_keeps_them_through_pickle(kind: type[UserError]) -> None:
    error = kind(TWO)
    assert str(error) == "lr must be > 0, but got -1. epochs must be ≥ 1, but got 0."
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.errors, str(again)) == (kind, TWO, str(error))


def test_one_sentence_is_one_fault() -> None:
    assert UserError(TWO[0]).errors == TWO[:1]


def test_a_command_refuses_with_a_line_for_each_fault_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUR_API_KEY", "correct-horse")
    code = refuse(ConfigError(TWO), OSError("no correct-horse here"), "at last.")
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.splitlines() == [
        "error: lr must be > 0, but got -1.",
        "error: epochs must be ≥ 1, but got 0.",
        "error: no *** here",
        "error: at last.",
    ]
