"""Writes docs/reference.md from the code that it describes: `python -m tools.make_reference`.

Options come from the commands' own parsers, fields and columns from their declarations, and
everything else from docstrings. Modules that need torch are read without being imported.
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
from search.config.options import GROUPS, RESUMABLE, SearchOptions
from tools.commands import COMMANDS
from trainables.config import TrialConfig

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference.md"

PUBLIC: Mapping[str, Sequence[str]] = {
    "search.session.api.search": ("Search", "DryRun"),
    "search.session.dry_run": ("Estimate",),
    "search.session.api.result": ("Result", "Best"),
    "search.monitoring.callback": ("SearchProgress",),
    "results.frame": ("trials", "epochs", "finalists", "screening"),
    "results.analysis.run_records": ("read_run_records", "RunRecords"),
    "results.store": ("read_manifest",),
    "results.records": (
        "EpochMetrics",
        "TrialRecord",
        "FinalistRecord",
        "ScreeningRecord",
        "FinalRecord",
    ),
    "results.analysis.ranking": ("rank_trials", "best_trial"),
    "results.export": ("best_config", "export"),
    "results.importance": ("importances",),
    "results.report": ("write_report",),
    "results.compare": ("write_comparison",),
    "results.curves": ("epochs", "configurations"),
    "search.space": ("Space", "Published"),
    "datasets.prepare": ("prepare",),
    "datasets.access": ("open_search_data", "open_final_data"),
    "trainables.final_model.best_config": ("read_best", "BestConfig"),
    "trainables.train": ("train", "train_with_news"),
}
"""Programs of the user may use these functions and classes, by module."""

_HEAD = """\
# Reference

Written by `make docs` from the code; a test compares the two. The [tutorial](guides/tutorial.md)
and the guides beside it, such as [Searching](guides/searching.md), show how to use all this.
"""


def page() -> str:
    """Returns the text of the page."""
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
    """Returns a command's section: its description and a table of its arguments. `search.run` has
    one table for each group of its help.
    """
    heading = ("argument", "meaning", "default")
    actions = [action for action in parser._actions if action.dest != "help"]
    tables = [
        f"#### {group.title}\n\n"
        + _table((*heading, "with `--resume`"), map(_search_option, group._group_actions))
        for group in parser._action_groups
        if group.title in GROUPS
    ] or [_table(heading, map(_argument, actions))]
    about = _paragraphs(parser.description or "")
    parts = (f"### `python -m {name}`", about, *tables, parser.epilog)
    return "\n\n".join(part for part in parts if part)


def _argument(action: Action) -> tuple[str, str, str]:
    """Returns (spelling, meaning, default) of an argument."""
    whole = (action.help or "").replace("%%", "%")
    text, separator, default = whole.removesuffix(")").partition(" (default: ")
    if not separator:
        text = whole
        default = "" if action.default in (None, SUPPRESS, False) else str(action.default)
    if action.choices:
        text += f": {', '.join(map(str, action.choices))}"
    value = action.metavar or action.dest.upper()
    several = " …" if action.nargs == "+" else ""
    flags = " ".join(action.option_strings) or str(value)
    takes = f" {value}" if action.option_strings and action.nargs != 0 else ""
    return f"`{flags}{takes}{several}`", text, default


def _search_option(action: Action) -> tuple[str, str, str, str]:
    """Returns the columns of `_argument` for an option of `search.run`, with the default of
    `SearchOptions`, and whether the option may change when a run is resumed.
    """
    flag, text, default = _argument(action)
    if not default and action.dest in _DEFAULTS:
        default = str(_DEFAULTS[action.dest])
    return flag, text, default, "may change" if action.dest in RESUMABLE else ""


_DEFAULTS = {f.name: f.default for f in fields(SearchOptions) if f.default != ()}
"""The options of a search have these defaults; lists, which are empty by default, are left out."""


def _spaces() -> Iterable[tuple[str, ...]]:
    for name in spaces.space_names():
        found = spaces.find_space(name)
        yield f"`{name}`", f"`{found.dataset}`", found.summary


def _fields() -> Iterable[tuple[str, ...]]:
    """Yields name, type, default and meaning of each field of `TrialConfig`, with the meaning from
    its docstring.
    """
    meanings: dict[str, str] = {}
    for entry in re.split(rf"\n(?={_NAMED})", inspect.cleandoc(TrialConfig.__doc__ or "")):
        names, _, text = entry.partition(": ")
        meanings |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    for f in fields(TrialConfig):
        kind = f.type if isinstance(f.type, str) else getattr(f.type, "__name__", str(f.type))
        needed = f.name == "network"
        yield f"`{f.name}`", kind, "" if needed else str(f.default), meanings[f.name]


_NAMED = r"\w+(?:, \w+)*: "
"""A docstring's line about a parameter or a field begins like this."""


def _frames() -> Iterable[str]:
    tables = {
        "trials": [*frame.TRIALS.items(), ("params.NAME", frame.PARAMS)],
        "epochs": frame.EPOCHS.items(),
        "finalists": frame.FINALISTS.items(),
        "screening": [*frame.SCREENING.items(), ("params.NAME", frame.PARAMS)],
    }
    for name, shown in tables.items():
        rows = [(f"`{column}`", about.dtype, about.unit, about.text) for column, about in shown]
        yield f"### `frame.{name}(run)`\n\n{_table(('column', 'dtype', 'unit', 'meaning'), rows)}"


def _member(module: str, name: str) -> str:
    """Returns a section with a function's signature or a class's fields, and with the docstring,
    without importing the module.
    """
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    body = ast.parse(source).body
    found = next(node for node in body if getattr(node, "name", None) == name)
    assert isinstance(found, ast.FunctionDef | ast.ClassDef)
    if isinstance(found, ast.FunctionDef):
        signature = source.splitlines()[found.lineno - 1 : found.body[0].lineno - 1]
        code = "\n".join(signature).removeprefix("def ").removesuffix(":")
    else:
        lines = [ast.unparse(node) for node in found.body if isinstance(node, ast.AnnAssign)]
        code = "\n".join([f"class {name}:", *(f"    {line}" for line in lines)])
    text = _paragraphs(ast.get_docstring(found) or "")
    return f"### `{module}.{name}`\n\n```python\n{code}\n```\n\n{text}"


def _paragraphs(text: str) -> str:
    """Returns a docstring as Markdown, with parameters as a list and `python -m …` as code."""
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
