"""docs/architecture.md and CONTRIBUTING.md: every class, function and constant that they name is in
the source.
"""

import ast

import pytest

from search.preflight import ROOMS
from tests.conftest import LONGEST
from tests.house.pages import ROOT, spans

FOREIGN = {
    "FINISHED", "None", "Tuner", "OptunaSearch", "tune.Trainable", "reuse_actors", "BaseSampler",
    "slow", "drill",
}  # fmt: skip
"""Names of Ray, Optuna, Python and pytest."""


def definitions():
    """Every name that the source defines, methods and fields with their class, files as modules."""
    found: set[str] = set()
    for path in (
        path for room in (*ROOMS, "tools", "tests/house") for path in (ROOT / room).rglob("*.py")
    ):
        found |= {
            path.stem,
            path.parent.name,
            ".".join(path.relative_to(ROOT).with_suffix("").parts),
        }
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            found |= set(named(node))
            if isinstance(node, ast.ClassDef):
                members = {name for part in node.body for name in named(part)}
                found |= members | {f"{node.name}.{name}" for name in members}
    return found


def named(node):
    """What a statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        yield node.name
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets:
        for name in ast.walk(target) if target else ():
            if isinstance(name, ast.Name):
                yield name.id


@pytest.mark.parametrize(("page", "least"), [("docs/architecture.md", 60), ("CONTRIBUTING.md", 15)])
def test_every_name_on_the_page_is_in_the_source(page, least):
    files = (
        ".yaml",
        ".yml",
        ".json",
        ".jsonl",
        ".beton",
        ".toml",
        ".txt",
        ".py",
        ".venv",
        "data/NAME",
    )
    names = [
        name
        for name in spans(ROOT / page)
        if name.replace(".", "").replace("_", "").isalpha()
        and not name.endswith(files)
        and name not in FOREIGN
    ]
    assert len(set(names)) >= least
    known = definitions()
    # A function that is called by its module, as `checkpoints.identity`, is known by its own name.
    missing = {n for n in names if n not in known and not is_module_call(n, known)}
    assert missing == set()


def is_module_call(name, known):
    module, _, function = name.rpartition(".")
    return module.islower() and function in known


def test_the_files_of_tests_that_begin_first_are_there():
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)
