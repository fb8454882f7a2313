"""Checks that the docstrings of every package are whole sentences and none is missing."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("common", "datasets", "results", "search", "tools", "trainables")

FEWEST_WORDS = 5
FRAGMENT = re.compile(r"(Of|The same|It|Its|As|Whether|What|Where|Who|Whoever|Which|How|See)\b")
"""A docstring that begins with one of these is a fragment, or needs its neighbours."""
NOT_PROSE = (" ", "python -m ")
"""A paragraph that begins like this is a table or a command, and needs no punctuation."""


def documented(tree):
    """Yields (name, whether it is public, docstring or None) of what a module's tree holds.

    These are the module, its classes and functions, and constants that a string follows. A
    function that is defined inside another one isn't public.
    """
    yield "(module)", bool(tree.body), ast.get_docstring(tree)
    yield from _members(tree.body, "", public=True)
    for constant, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(constant, ast.Assign | ast.AnnAssign) and _is_text(text):
            target = constant.targets[0] if isinstance(constant, ast.Assign) else constant.target
            yield ast.unparse(target), False, text.value.value


def _is_text(node):
    """Returns whether a statement is a string and nothing else."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _members(body, prefix, *, public):
    """Yields name, publicity and docstring of classes and functions, at any depth.

    The methods of a class with bases don't count as public, because a base may document them.
    """
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            shown = public and not node.name.startswith("_")
            yield f"{prefix}{node.name}", shown, ast.get_docstring(node)
            inside = f"{prefix}{node.name}."
            if isinstance(node, ast.ClassDef):
                yield from _members(node.body, inside, public=shown and not node.bases)
            else:
                yield from _members(node.body, inside, public=False)


def faults(text):
    """Returns what is wrong with a docstring, as words for an error message."""
    words = text.split()
    prose = [part for part in text.split("\n\n") if not part.startswith(NOT_PROSE)]
    found = []
    if len(words) < FEWEST_WORDS:
        found.append(f"has fewer than {FEWEST_WORDS} words")
    if FRAGMENT.match(text):
        found.append(f"begins with «{words[0]}»")
    if not (text[:1].isupper() or text.startswith("`")):
        found.append("begins with a small letter")
    if not all(part.rstrip().endswith((".", ":")) for part in prose):
        found.append("does not end with punctuation")
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_are_whole_sentences_and_none_is_missing(folder):
    errors = []
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, public, text in documented(tree):
            where = f"{path.relative_to(ROOT)}: {name}"
            if text is None:
                errors += [f"{where} has no docstring"] if public else []
            else:
                errors += [f"{where} {fault}: {text[:60]!r}" for fault in faults(text)]
    assert not errors, "\n".join(errors)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Returns the mean of each class.", None),
        ("`frozen` counts the stages that don't train.", None),
        ("The command line.", "has fewer than 5 words"),
        ("Of the shape, as shares of the side.", "begins with «Of»"),
        ("It, in evaluation mode on `device`.", "begins with «It,»"),
        ("The same to Optuna, but later.", "begins with «The»"),
        ("As `build`, but without any values.", "begins with «As»"),
        ("returns the mean of each class.", "begins with a small letter"),
        ("Returns the mean of each class", "does not end with punctuation"),
    ],
)
def test_each_fault_is_recognised(text, fault):
    assert faults(text) == ([fault] if fault else [])


def test_only_what_needs_a_docstring_is_required_to_have_one():
    tree = ast.parse(
        "class Plain:\n    def act(self): ...\n    def _help(self): ...\n"
        "    def __len__(self): ...\n"
        "class Derived(Plain):\n    def act(self): ...\n"
        "class _Hidden:\n    def act(self): ...\n"
        "def run():\n    def inner(): ...\n"
        "LIMIT = 3\n'''Of a shape.'''\n"
    )
    missing = {name for name, public, text in documented(tree) if public and text is None}
    assert missing == {"(module)", "Plain", "Plain.act", "Derived", "run"}
    assert ("LIMIT", False, "Of a shape.") in list(documented(tree))
