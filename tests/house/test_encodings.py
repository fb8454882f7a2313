"""Every file that is read or written as text, and every program's output, names its encoding."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("search", "trainables", "datasets", "results", "common", "tools", "tests", ".ci")

# These open something else than a file of text: a descriptor, an archive, an image, an address.
OTHER_OPENERS = ("os", "tarfile", "Image", "zipfile", "webbrowser", "request", "urllib.request")
PACKERS = ("gzip", "bz2", "lzma")
TEMPORARY = ("NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile")
# Name of a method or function -> how many positional arguments include the encoding.
ENCODING_AT = {"read_text": 1, "write_text": 2, "FileHandler": 3, "TextIOWrapper": 2}


def calls_without_encoding(tree: ast.AST) -> Iterator[ast.Call]:
    """Yields each call that would take the encoding of whatever machine it runs on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _needs_encoding(node):
            given = {keyword.arg for keyword in node.keywords}
            if "encoding" not in given and None not in given:
                yield node


def _needs_encoding(call: ast.Call) -> bool:
    whole = ast.unparse(call.func)
    owner, _, name = whole.rpartition(".")
    if any(_is_true(keyword) for keyword in call.keywords):  # subprocess's text=True
        return True
    if name in ENCODING_AT:
        # A distribution's read_text takes a file name, and that isn't a path's.
        return len(call.args) < ENCODING_AT[name]
    if name in TEMPORARY:
        return "b" not in _mode(call, 0, "w+b")
    if name == "fdopen" or whole in ("open", "io.open"):
        return "b" not in _mode(call, 1, "r")
    if name != "open" or owner in OTHER_OPENERS:
        return False
    if owner in PACKERS:
        return "t" in _mode(call, 1, "rb")
    # An archive's method of this name takes the name of an entry, no mode, and gives bytes.
    return "b" not in _mode(call, 0, "b" if call.args else "r")


def _is_true(keyword: ast.keyword) -> bool:
    return (
        keyword.arg in ("text", "universal_newlines")
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is True
    )


def _mode(call: ast.Call, at: int, default: str) -> str:
    """The mode that a call opens a file in: all that it may be, where it depends."""
    given = [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    for value in [*call.args[at : at + 1], *given]:
        found = "".join(
            node.value
            for node in ast.walk(value)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        return found if found and set(found) <= set("rwxabt+") else default
    return default


def test_every_text_names_its_encoding() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno} {ast.unparse(call)[:60]}"
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        for call in calls_without_encoding(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "path.read_text()",
        "path.read_text(errors='replace')",
        "path.write_text(text)",
        "path.open()",
        "path.open('a')",
        "path.open(mode='w')",
        "path.open('a' if more else 'w')",
        "open(path)",
        "open(path, 'w')",
        "os.fdopen(3, 'w')",
        "gzip.open(path, 'rt')",
        "tempfile.NamedTemporaryFile('w')",
        "logging.FileHandler(path)",
        "io.TextIOWrapper(stream)",
        "subprocess.run(command, text=True)",
        "Popen(command, universal_newlines=True)",
    ],
)
def test_a_text_without_encoding_is_found(line: str) -> None:
    assert [call.lineno for call in calls_without_encoding(ast.parse(f"import x\n{line}"))] == [2]


@pytest.mark.parametrize(
    "line",
    [
        "path.read_text(encoding='utf-8')",
        "path.read_text('utf-8')",
        "path.write_text(text, 'utf-8')",
        "distribution.read_text('METADATA')",
        "path.open('rb')",
        "path.open('ab' if more else 'wb')",
        "open(path, 'rb')",
        "open(path, encoding='ascii')",
        "os.open(path, os.O_RDONLY)",
        "Image.open(path)",
        "tarfile.open(path, 'w:gz')",
        "gzip.open(path)",
        "archive.open(name)",
        "archive.open('entry.txt')",
        "tempfile.TemporaryFile()",
        "subprocess.run(command)",
        "subprocess.run(command, text=True, encoding='utf-8')",
        "subprocess.run(command, **options)",
        "Cell(text=name)",
        "Cell(text='True')",
    ],
)
def test_bytes_and_named_encodings_pass(line: str) -> None:
    assert list(calls_without_encoding(ast.parse(line))) == []
