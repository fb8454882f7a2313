"""Takes from the source of a space what its `suggest` needs: functions, constants and imports."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_OURS = ("common", "datasets", "results", "search", "trainables")
_SHARED = "search.spaces._ranges"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Holds parts of a Python file, in its order.

    imports: the import statements that are needed, a line each, as `ast.unparse` writes them.
    statements: the text of every other statement that is needed, comments included.
    suggest: the expression that the space's `suggest` is, or `None` where no `Space(…)` shows it.
    """

    imports: Sequence[str]
    statements: Sequence[str]
    suggest: str | None


def read_source(text: str, shared: str) -> Source:
    """Returns what `suggest` needs of a space's file with this `text`. What it imports from the
    ranges that spaces share, whose text is `shared`, becomes part of it.
    """
    tree = ast.parse(text)
    suggest = _suggest_of(tree)
    if suggest is None:
        return Source(imports=(), statements=(), suggest=None)
    own = _Module(text, tree)
    needed = own.reach({each.id for each in ast.walk(suggest) if isinstance(each, ast.Name)})
    common, wanted = _Module(shared, ast.parse(shared)), own.shared(needed)
    reached = common.reach(wanted)
    if wanted and not (own.names_of(own.nodes) - wanted) & common.names_of(reached, own_only=True):
        imports = [*common.imports(reached), *own.imports(needed, without=_SHARED)]
        statements = [*common.statements(reached), *own.statements(needed)]
    else:
        imports, statements = list(own.imports(needed)), list(own.statements(needed))
    segment = ast.get_source_segment(text, suggest)
    return Source(imports=imports, statements=statements, suggest=segment)


def arrange_imports(lines: Iterable[str]) -> str:
    """Returns import statements as text: each once, those of Python first and ours last."""
    groups: list[list[str]] = [[], [], [], []]
    for line in sorted(set(lines), key=lambda line: (line.startswith("from"), line)):
        top = line.split()[1].partition(".")[0]
        known = 1 if top in sys.stdlib_module_names else 3 if top in _OURS else 2
        groups[0 if top == "__future__" else known].append(line)
    return "\n\n".join("\n".join(each) for each in groups if each)


def _suggest_of(tree: ast.Module) -> ast.expr | None:
    """Returns what a file's `SPACE = Space(…)` gives as `suggest`, if there is such a statement."""
    for node in tree.body:
        value = getattr(node, "value", None)
        if "SPACE" in _defined(node) and isinstance(value, ast.Call):
            return next((each.value for each in value.keywords if each.arg == "suggest"), None)
    return None


def _defined(node: ast.stmt) -> set[str]:
    """Returns the names that a statement does nothing but define; none for any other one."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(each.asname or each.name).partition(".")[0] for each in node.names}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return set()
    parts = [part for each in targets for part in getattr(each, "elts", [each])]
    names = {each.id for each in parts if isinstance(each, ast.Name)}
    return names if len(names) == len(parts) else set()


class _Module:
    """Knows which statements of a Python file define which names, and which others these need."""

    def __init__(self, text: str, tree: ast.Module) -> None:
        self._lines = text.splitlines()
        self.nodes = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
        self._begin = {id(node): end for node, end in self._ends(tree)}

    def _ends(self, tree: ast.Module) -> Iterator[tuple[ast.stmt, int]]:
        """Yields each statement with the line in which the one before ends, so that comments and
        decorators above a statement belong to it.
        """
        end = 0
        for node in tree.body:
            yield node, end
            end = node.end_lineno or end

    def reach(self, names: set[str]) -> list[ast.stmt]:
        """Returns the statements that define these names or something that they need, and all that
        don't only define names, because they may change what others define.
        """
        found, ahead = list[ast.stmt](), set(names)
        while True:
            more = [
                node
                for at, node in enumerate(self.nodes)
                if node not in found and self._is_needed(at, found, ahead)
            ]
            if not more:
                return [node for node in self.nodes if node in found]
            found += more
            ahead |= {n.id for node in more for n in ast.walk(node) if isinstance(n, ast.Name)}

    def _is_needed(self, at: int, found: Sequence[ast.stmt], names: set[str]) -> bool:
        node = self.nodes[at]
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            return True
        if defined := _defined(node):
            return bool(defined & names) and "SPACE" not in defined
        describes = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        return at == 0 or not describes or self.nodes[at - 1] in found

    def names_of(self, nodes: Sequence[ast.stmt], *, own_only: bool = False) -> set[str]:
        """Returns the names that these statements define, or without those that they import."""
        imports = (ast.Import, ast.ImportFrom) if own_only else ()
        return {name for n in nodes if not isinstance(n, imports) for name in _defined(n)}

    def shared(self, nodes: Sequence[ast.stmt]) -> set[str]:
        """Returns the names that these statements import from the ranges that spaces share, or none
        where they give one of them another name.
        """
        found = [
            each
            for node in nodes
            if isinstance(node, ast.ImportFrom) and _absolute(node).module == _SHARED
            for each in node.names
        ]
        if any(each.asname or each.name == "*" for each in found):
            return set()
        return {each.name for each in found}

    def imports(self, nodes: Sequence[ast.stmt], without: str = "") -> Iterator[str]:
        """Yields the import statements among these, with the names alone that others use, but none
        from the module `without`.
        """
        used = {each.id for node in nodes for each in ast.walk(node) if isinstance(each, ast.Name)}
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and _absolute(node).module != without:
                absolute = _absolute(node)
                future = absolute.module == "__future__"
                absolute.names = [
                    each for each in absolute.names
                    if future or each.name == "*" or (each.asname or each.name) in used
                ]  # fmt: skip
                yield ast.unparse(absolute)
            elif isinstance(node, ast.Import):
                yield ast.unparse(node)

    def statements(self, nodes: Sequence[ast.stmt]) -> Iterator[str]:
        """Yields the text of every one of these that isn't an import, with the comments above it
        and the text that describes it below.
        """
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                continue
            lines = self._lines[self._begin[id(node)] : node.end_lineno]
            for inner in ast.walk(node):
                if isinstance(inner, ast.ImportFrom) and inner.level:
                    at = inner.lineno - 1 - self._begin[id(node)]
                    lines[at] = re.sub(r"from \.(\s*)(?=import)", "from search.spaces ", lines[at])
                    lines[at] = re.sub(r"from \.(?=\w)", "from search.spaces.", lines[at])
            yield "\n".join(lines).strip("\n")


def _absolute(node: ast.ImportFrom) -> ast.ImportFrom:
    """Returns an import of a module of this folder as one from anywhere."""
    base = "search.spaces" if node.level else ""
    module = ".".join(filter(None, [base, node.module]))
    return ast.ImportFrom(module=module, names=list(node.names), level=0)
