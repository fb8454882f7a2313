"""Writes docs/reference.md from the code that it describes: `python -m tools.make_reference`.

Options come from the commands' own parsers, fields and columns from their declarations, the rest
from docstrings. Modules that need torch are read, not imported.
"""

import ast
import inspect
import re
from argparse import SUPPRESS, Action, ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from common.files import write_text_atomically
from results import frame
from search import spaces
from search.config.options import RESUMABLE, SearchOptions
from tools.commands import COMMANDS
from trainables.config import TrialConfig

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference.md"

PUBLIC: Mapping[str, Sequence[str]] = {
    "results.frame": ("trials", "epochs", "finalists"),
    "results.store": ("read_manifest", "read_trials", "read_standings", "read_epochs"),
    "results.records": ("EpochMetrics", "TrialRecord", "FinalistRecord", "FinalRecord"),
    "results.export": ("ranked", "best_config", "export"),
    "results.importance": ("importances",),
    "results.report": ("write_report",),
    "results.compare": ("write_comparison",),
    "search.space": ("Space", "Published"),
    "datasets.prepare": ("prepare",),
    "datasets.access": ("open_search_data", "open_final_data"),
    "trainables.final_model.best_config": ("read_best", "BestConfig"),
    "trainables.train": ("train",),
}
"""What a program of one's own may call, by module."""

_HEAD = """\
# Reference

Written by `make docs` from the code; a test compares the two. The [tutorial](guides/tutorial.md)
and the guides beside it, such as [Searching](guides/searching.md), show how to use all this.
"""


def page() -> str:
    """The page's text."""
    commands = [_command(name, make()) for name, make in COMMANDS.items()]
    return (
        "\n\n".join(
            [
                _HEAD.strip(),
                "## Commands",
                *commands,
                "## Spaces\n\nWhat `--space` takes, beside the path of a Python file.",
                _table(("space", "dataset", "what it searches"), _spaces()),
                "## Fields of a configuration\n\nWhat `--set` fixes, `best.yaml` holds, and a "
                "space may vary: `trainables.config.TrialConfig`.",
                _table(("field", "type", "default", "meaning"), _fields()),
                "## Tables\n\n`results.frame` gives a run as pandas tables.",
                *_frames(),
                "## Python\n\nFor programs of your own. Nothing is installed: start them in the "
                "project's folder.",
                *(_member(module, name) for module, names in PUBLIC.items() for name in names),
            ]
        )
        + "\n"
    )


def _command(name: str, parser: ArgumentParser) -> str:
    """A command's description and arguments; of `search.run` also what may change later."""
    actions = [action for action in parser._actions if action.dest != "help"]
    heading: list[str] = ["argument", "meaning", "default"]
    rows = [list(_argument(action)) for action in actions]
    if name == "search.run":
        heading.append("with `--resume`")
        defaults = {f.name: f.default for f in fields(SearchOptions)}
        for row, action in zip(rows, actions, strict=True):
            default = defaults.get(action.dest, "")
            row[2] = row[2] or ("" if default == () else str(default))
            row.append("may change" if action.dest in RESUMABLE else "")
    about = _paragraphs(parser.description or "")
    parts = (f"### `python -m {name}`", about, _table(heading, rows), parser.epilog)
    return "\n\n".join(part for part in parts if part)


def _argument(action: Action) -> tuple[str, str, str]:
    """(how it is written, what it means, its default) of an argument."""
    text = (action.help or "").replace("%%", "%")
    text, told, default = text.removesuffix(")").partition(" (default: ")
    if not told:
        text = (action.help or "").replace("%%", "%")
        default = "" if action.default in (None, SUPPRESS, False) else str(action.default)
    if action.choices:
        text += f": {', '.join(map(str, action.choices))}"
    value = action.metavar or action.dest.upper()
    several = " …" if action.nargs == "+" else ""
    flags = " ".join(action.option_strings) or str(value)
    takes = f" {value}" if action.option_strings and action.nargs != 0 else ""
    return f"`{flags}{takes}{several}`", text, default


def _spaces() -> Iterable[tuple[str, ...]]:
    for name in spaces.space_names():
        found = spaces.find_space(name)
        yield f"`{name}`", f"`{found.dataset}`", found.summary


def _fields() -> Iterable[tuple[str, ...]]:
    """The fields of `TrialConfig`, with what its docstring says of each."""
    told: dict[str, str] = {}
    for entry in re.split(rf"\n(?={_NAMED})", inspect.cleandoc(TrialConfig.__doc__ or "")):
        names, _, text = entry.partition(": ")
        told |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    for f in fields(TrialConfig):
        kind = f.type if isinstance(f.type, str) else getattr(f.type, "__name__", str(f.type))
        needed = f.name == "network"
        yield f"`{f.name}`", kind, "" if needed else str(f.default), told[f.name]


_NAMED = r"\w+(?:, \w+)*: "
"""How a docstring's line about a parameter or a field begins."""


def _frames() -> Iterable[str]:
    tables = {"trials": frame.TRIALS, "epochs": frame.EPOCHS, "finalists": frame.FINALISTS}
    for name, columns in tables.items():
        shown = [*columns.items(), *([("params.NAME", frame.PARAMS)] if name == "trials" else [])]
        rows = [(f"`{column}`", about.dtype, about.unit, about.text) for column, about in shown]
        yield f"### `frame.{name}(run)`\n\n{_table(('column', 'dtype', 'unit', 'meaning'), rows)}"


def _member(module: str, name: str) -> str:
    """A function's signature or a class's fields, and the docstring, without importing it."""
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    found = next(node for node in tree.body if getattr(node, "name", None) == name)
    assert isinstance(found, ast.FunctionDef | ast.ClassDef)
    if isinstance(found, ast.FunctionDef):
        returns = f" -> {ast.unparse(found.returns)}" if found.returns else ""
        code = f"{name}({', '.join(_parameters(found.args))}){returns}"
    else:
        lines = [ast.unparse(node) for node in found.body if isinstance(node, ast.AnnAssign)]
        code = "\n".join([f"class {name}:", *(f"    {line}" for line in lines)])
    text = _paragraphs(ast.get_docstring(found) or "")
    return f"### `{module}.{name}`\n\n```python\n{code}\n```\n\n{text}"


def _parameters(args: ast.arguments) -> Iterable[str]:
    """As they are written; `ast.unparse` leaves no room around the equals signs."""
    plain = [*args.posonlyargs, *args.args]
    defaults = [*[None] * (len(plain) - len(args.defaults)), *args.defaults]
    star = [(None, None)] if args.kwonlyargs else []
    keywords = zip(args.kwonlyargs, args.kw_defaults, strict=True)
    for arg, default in [*zip(plain, defaults, strict=True), *star, *keywords]:
        shown = ast.unparse(arg) if arg else "*"
        yield shown if default is None else f"{shown} = {ast.unparse(default)}"


def _paragraphs(text: str) -> str:
    """A docstring as Markdown: what is said of parameters as a list, a `python -m …` as code."""
    lines, listing = list[str](), False
    for line in inspect.cleandoc(text).splitlines():
        named = re.match(_NAMED, line)
        if named and not listing and lines and lines[-1]:
            lines.append("")
        listing = bool(line) and (listing or named is not None)
        shown = f"`{line}`" if line.startswith("python -m") else line
        lines.append(f"- {line}" if named else f"  {line}" if listing else shown)
    return "\n".join(lines)


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    write_text_atomically(PAGE, page())
