"""Writes a space of one's own: the source of one of the project's spaces in a single file, with a
comment on every field.
"""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from common.cli import quote_command
from search.planning.space_source import arrange_imports, read_source
from search.space import Space, SpaceError
from search.spaces import _ranges, find_space, find_space_files
from trainables.config import TrialConfig

_SHOWN = (
    "network",
    "image_size",
    "normalise",
    "weights",
    "optimizer",
    "lr",
    "batch_size",
    "epochs",
)
"""A baseline is written with these fields and with those that differ from their default."""


def write_space(name: str, like: str, folder: Path) -> Path:
    """Writes the file `NAME.py` in a folder, a space that searches what the project's space `like`
    searches, and returns its path. Raises `SpaceError` for a name that no file of Python can have,
    and for a file that exists already; `OSError` where the folder can't be written.
    """
    stem = name.removesuffix(".py")
    if not stem.isidentifier():
        raise SpaceError(
            f"The name of a space must be a word of letters, digits and _, but got {name!r}; write "
            f"{re.sub(r'[^A-Za-z0-9_]', '_', stem) or 'my_space'}, and the folder after --out."
        )
    if like.endswith(".py"):
        raise SpaceError(
            f"--like must name one of the project's spaces, but got {like}; copy your file."
        )
    space, path = find_space(like), folder / f"{stem}.py"
    text = make_text(path, like, space)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SpaceError(
            f"A new space must not replace a file, but {path} exists; choose another name, or "
            "remove it first."
        ) from None
    return path


def make_text(path: Path, like: str, space: Space) -> str:
    """Returns the text of the file at `path`: a space that searches what `space` does, whose name
    is `like`.
    """
    own = find_space_files(like)[0]
    shared = Path(str(_ranges.__file__)).read_text(encoding="utf-8")
    source = read_source(own.read_text(encoding="utf-8"), shared)
    suggest, imports = source.suggest, ["from trainables.config import TrialConfig"]
    if suggest is None:
        imports.append(f"from search.spaces import {like}")
        suggest = f"{like}.SPACE.suggest"
    imports.append(f"from search.space import {'Prior, ' * bool(space.prior)}Space")
    statements = _join([*source.statements, _definition(like, space, suggest)])
    body = _commented(statements) + "\n"
    return f"{_head(path, like)}\n\n{arrange_imports([*source.imports, *imports])}\n\n\n{body}"


def _join(statements: Sequence[str]) -> str:
    """Returns statements as one text, with two empty lines around functions, classes and SPACE."""
    apart = [bool(re.match(r"(#.*\n)*(async |def |class |@|SPACE)", each)) for each in statements]
    gaps = ["\n\n\n" if a or b else "\n" for a, b in pairwise(apart)]
    return "".join(each + gap for each, gap in zip(statements, [*gaps, ""], strict=True))


def _head(path: Path, like: str) -> str:
    run = quote_command("python -m search.run", "--space", path)
    check = quote_command("python -m search.spaces check", path)
    return f'''"""Searches what the space {like} searches. Change it to what you want.

This shows what a search would do, trains nothing, and needs no images:
    {run} --dry-run
This looks for mistakes in thousands of configurations, and describes the space:
    {check}
This searches:
    {run}

A file beside this one can be imported, as by `from my_ranges import augmentation`.
"""'''


def _commented(text: str) -> str:
    """Returns the source of a space, with the meaning of each parameter above its range."""
    meanings, lines = field_meanings(), text.splitlines()
    for node in sorted(_ranges_in(text), key=lambda node: node.lineno, reverse=True):
        line, name = lines[node.lineno - 1], ast.literal_eval(node.args[0])
        goes_on = node.lineno > 1 and lines[node.lineno - 2].endswith("\\")
        if name in meanings and not goes_on:
            indent = line[: len(line) - len(line.lstrip())]
            lines.insert(node.lineno - 1, _comment(f"{name}: {meanings[name]}", indent))
    return "\n".join(lines)


def _comment(text: str, indent: str) -> str:
    begin = f"{indent}# "
    return textwrap.fill(text, 100, initial_indent=begin, subsequent_indent=begin)


def _ranges_in(text: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr.startswith("suggest_")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node


def _definition(like: str, space: Space, suggest: str) -> str:
    meanings, default = field_meanings(), TrialConfig(network="resnet10").to_dict()
    fields = "".join(
        f"{_comment(meanings[name], ' ' * 8)}\n        {name}={_literal(value)},\n"
        for name, value in space.baseline.to_dict().items()
        if name in _SHOWN or value != default.get(name)
    )
    summary = textwrap.shorten(f"Like {like}: {space.summary}", 80, placeholder=" …")
    priors = "".join(
        f"        {_literal(name)}: Prior({_literal(prior.value)}, {prior.confidence!r}),\n"
        for name, prior in space.prior.items()
    )
    belief = f"    prior={{\n{priors}    }}," if priors else _NO_PRIOR.format(lr=space.baseline.lr)
    return f"""SPACE = Space(
    # One line, which lists and reports show.
    summary={_literal(summary)},
    # The images, unless --dataset names others. Your own are `folder`, with --source.
    dataset={_literal(space.dataset)},
    # The first trial, with which all others are compared. What isn't searched stays as it is
    # here, and fields that are left out have their default.
    baseline=TrialConfig(
{fields}    ),
    suggest={suggest},
    # What you believe already: good values, and how sure you are, from 0 to 1.
{belief}
)"""


_NO_PRIOR = """    # Import Prior from search.space for that.
    # prior={{"lr": Prior({lr!r}, 0.5)}},"""


def _literal(value: object) -> str:
    """Returns a value as Python's code, texts in double quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def field_meanings() -> dict[str, str]:
    """Returns the first part of what the documentation says of each field, by name."""
    entries = re.findall(
        r"^(\w+): (.*?)(?=^\w+: |\Z)", inspect.getdoc(TrialConfig) or "", re.M | re.S
    )
    return {
        name: re.split(r"(?<=[\w`])[.:;](?=\s|$)|\s\(", " ".join(text.split()))[0]
        for name, text in entries
    }
