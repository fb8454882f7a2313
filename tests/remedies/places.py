"""Lists the places where an error arises that a user can mend, by reading the syntax tree.

A place is one of these, in a module of `ROOMS` (`results/published/` holds scripts, and is out):

* a call of a class of `FAMILY`, raised or returned, also where its sentences come from elsewhere;
* `raise make_error(…)`, where `make_error` is a function of ours that returns such an error;
* a text in a call of `refuse` or `ArgumentTypeError`;
* any other sentence with a rule or a remedy: a text in which «must» occurs, or, inside of a
  function, «; » behind a word, «goes with» or «pip install». This is how faults look that are
  collected and raised together. Texts in calls of `SHOWING` are no faults: they go to the screen, a
  log, a help text or a table. Nor are those in the folders `SHOWN`, which show and never decide.

Limits: a fault without one of these marks isn't found, nor one that is put together from words of
another module. What is raised as `ValueError`, `TypeError`, `KeyError` or another of Python's own
types is an error of programmers, or the reason inside of a sentence that is a place, and is out.
"""

import ast
import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from common.errors import UserError
from search.preflight import PreflightError

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("common", "datasets", "trainables", "search", "results")
FAMILY = (UserError, PreflightError)
SHOWING = re.compile(
    r"print|print_line|warn|_warn|inform|warning|info|debug|add|add_argument|Parser|Column|field"
    r"|Space|Published|DatasetSpec|compile|status|Panel|Note"
)
SHOWN = ("results/page/", "search/monitoring/")
_RULE = re.compile(r"\bmust\b")
_MARK = re.compile(r"\bmust\b|\S; |\bgoes with\b|pip install")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place is where one error arises.

    where: path of the module and name of the function, as `datasets/manifest.py::verify`.
    words: the text with `{}` for each value, and ` #2` behind the second equal one in a function.
    lines: the first and the last line of the expression.
    text: matches the sentence; `None` where the function that is called holds the text.
    constructs: whether the expression makes the error, so that its lines are on the stack then.
    """

    where: str
    words: str
    lines: tuple[int, int]
    text: re.Pattern[str] | None
    constructs: bool

    @property
    def file(self) -> str:
        """Returns the path of the module relative to the root."""
        return self.where.partition("::")[0]

    def __str__(self) -> str:
        return f"{self.where}: {self.words}"


def find_places() -> list[Place]:
    """Returns every place of all rooms, in the order of modules and lines."""
    files = [
        path.relative_to(ROOT)
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if "published" not in path.parts
    ]
    return [place for file in files for place in places_of(file)]


def places_of(file: Path) -> list[Place]:
    """Returns the places of one module, whose path is relative to the root."""
    module = importlib.import_module(".".join(file.with_suffix("").parts).removesuffix(".__init__"))
    reader = _Reader(module, file.as_posix())
    reader.visit(ast.parse((ROOT / file).read_text(encoding="utf-8")))
    found, seen = [], Counter[tuple[str, str]]()
    for function, node, texts, constructs in reader.found:
        words = " … ".join(map(_template, texts)) or ast.unparse(node)
        seen[function, words] += 1
        number = seen[function, words]
        found.append(
            Place(
                where=f"{file.as_posix()}::{function}",
                words=words + (f" #{number}" if number > 1 else ""),
                lines=(node.lineno, node.end_lineno or node.lineno),
                text=re.compile(".*?".join(map(_pattern, texts)), re.DOTALL) if texts else None,
                constructs=constructs,
            )
        )
    return found


Text = ast.Constant | ast.JoinedStr


class _Reader(ast.NodeVisitor):
    """Collects (function, expression, its texts, whether it makes an error) in one module."""

    def __init__(self, module: ModuleType, file: str) -> None:
        self.found: list[tuple[str, ast.expr, list[Text], bool]] = []
        self._module, self._file = module, file
        self._function = "module"

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Reads a function's body, under its name, without its docstring."""
        outer, self._function = self._function, node.name
        self.generic_visit(node)
        self._function = outer

    def visit_Expr(self, node: ast.Expr) -> None:
        """Passes over docstrings."""
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Finds errors that a function of ours makes, and passes over Python's own types."""
        if not isinstance(node.exc, ast.Call):
            return
        if self._returns_error(node.exc.func):
            self.found.append((self._function, node.exc, [], True))
        elif self._is_ours(node.exc.func):
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Finds errors, and passes over texts that are shown only."""
        texts = list(_texts(node))
        if self._is_error(node.func) or (texts and self._is_ours(node.func)):
            self.found.append((self._function, node, texts, self._is_error(node.func)))
        elif not SHOWING.fullmatch(_last_name(node.func)):
            self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Finds a sentence with values."""
        self._add_sentence(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Finds a sentence without values."""
        if isinstance(node.value, str):
            self._add_sentence(node)

    def _add_sentence(self, node: Text) -> None:
        mark = _RULE if self._function == "module" else _MARK
        if not self._file.startswith(SHOWN) and mark.search(_template(node)):
            self.found.append((self._function, node, [node], False))

    def _resolve(self, node: ast.expr) -> object:
        """Returns what a name in the module stands for, or `None` where it isn't known."""
        value: object = self._module
        for part in ast.unparse(node).split("."):
            value = getattr(value, part, None)
        return value

    def _is_ours(self, node: ast.expr) -> bool:
        return self._is_error(node) or _last_name(node) in ("refuse", "ArgumentTypeError")

    def _is_error(self, node: ast.expr) -> bool:
        found = self._resolve(node)
        return isinstance(found, type) and issubclass(found, FAMILY)

    def _returns_error(self, node: ast.expr) -> bool:
        found = self._resolve(node)
        if not inspect.isfunction(found):
            return False
        kind = inspect.get_annotations(found, eval_str=True).get("return")
        return isinstance(kind, type) and issubclass(kind, FAMILY)


def _last_name(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]


def _texts(node: ast.AST) -> Iterator[Text]:
    """Yields the texts of two words or more in an expression, but none inside of another text."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.JoinedStr | ast.Constant):
            if isinstance(child, ast.JoinedStr) or " " in str(child.value).strip():
                yield child
        else:
            yield from _texts(child)


def _parts(node: Text) -> list[str | None]:
    """Returns the literal parts of a text, with `None` for each value between them."""
    values = node.values if isinstance(node, ast.JoinedStr) else [node]
    return [str(v.value) if isinstance(v, ast.Constant) else None for v in values]


def _template(node: Text) -> str:
    return "".join("{}" if part is None else part for part in _parts(node))


def _pattern(node: Text) -> str:
    return "".join(".*?" if part is None else re.escape(part) for part in _parts(node))
