"""Modules that need Python alone, which import-linter, knowing packages, can't say."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PLAIN: dict[str, tuple[str, ...]] = {
    "common/cli.py": ("common.errors", "common.text"),
    "common/errors.py": (),
    "common/json_records.py": ("common.errors",),
    "common/text.py": (),
    "results/records.py": ("common.json_records",),
    "results/run_hints.py": ("common.cli", "common.text"),
    "search/preflight.py": ("packaging",),
}
"""File -> what it may import beside the standard library."""


def imported(file: Path) -> set[str]:
    """The modules that a file imports anywhere, also inside functions."""
    found = set[str]()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def strangers(file: Path, allowed: tuple[str, ...]) -> list[str]:
    """What a file imports that is neither of the standard library nor `allowed`."""
    return sorted(
        module
        for module in imported(file)
        if module.split(".")[0] not in sys.stdlib_module_names
        and not any(module == each or module.startswith(each + ".") for each in allowed)
    )


@pytest.mark.parametrize("file", PLAIN)
def test_plain_modules_need_python_alone(file: str) -> None:
    assert strangers(ROOT / file, PLAIN[file]) == []


def test_a_stranger_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("import json\ndef f():\n    from numpy.linalg import inv\n", encoding="utf-8")
    assert strangers(file, ()) == ["numpy.linalg"]
    assert strangers(file, ("numpy",)) == []
