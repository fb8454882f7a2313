"""Reads Python files as rooms, and the imports between them as arrows.

* A room is each direct subfolder of a package and each file beside them. The package's own
  `__init__` is a room only where it imports, or is imported by name.
* An arrow is an import from one room to another within the same package. Imports in functions,
  under TYPE_CHECKING and by string count. By string means: a string that is, as a whole, the dotted
  name of a module of ours, unless `"-m"` stands before it in a list (which starts a process), and
  the fixed beginning of an f-string given to `import_module`.
* An `__init__` hands on its own room only: whoever imports a name from a room whose `__init__`
  took it from elsewhere has an arrow to where the name comes from.
* A floor is the length, in rooms, of the longest chain of arrows that begins at a room. The rooms
  of a cycle share a floor.
* A cycle is a set of modules, or of rooms of all packages, that reach one another. To import a
  module isn't, here, to import the packages that it lies in.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

PACKAGES = ("search", "trainables", "datasets", "results", "common")


@dataclass(frozen=True, kw_only=True, slots=True)
class Import:
    """One import of one module of ours by another; `name` is what is taken from it, if not all."""

    importer: str
    imported: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.importer} → {self.imported}{self.name and f' ({self.name})'}"


class ImportGraph:
    """The modules of our packages, and which of them imports which.

    trees: path relative to the root, with slashes -> parsed Python; files of other folders than
    `PACKAGES` are passed over.
    """

    def __init__(self, trees: Mapping[str, ast.AST]) -> None:
        self.trees = {
            file.removesuffix(".py").replace("/", "."): tree
            for file, tree in sorted(trees.items())
            if file.split("/")[0] in PACKAGES
        }

    def module(self, name: str) -> str | None:
        """The module of ours that a dotted name stands for; of a package its `__init__`.

        A folder without an `__init__` is a package too.
        """
        if name.split(".")[0] not in PACKAGES or name in self.trees:
            return name if name in self.trees else None
        inside = any(each.startswith(f"{name}.") for each in self.trees)
        return f"{name}.__init__" if inside else None

    @cached_property
    def imports(self) -> list[Import]:
        """Every import of a module of ours by another, sorted; each once."""
        direct = {module: set(self._direct(module)) for module in self.trees}
        found = set[Import]()
        for module, each in direct.items():
            for one in each:
                found |= {one, *self._handed_on(module, one, direct)}
        return sorted(
            (one for one in found if one.imported != one.importer),
            key=lambda one: (one.importer, one.imported, one.name),
        )

    def _direct(self, module: str) -> Iterator[Import]:
        """What a module imports itself, each import as often as it stands there."""
        tree = self.trees[module]
        started = {
            id(after)
            for node in ast.walk(tree)
            if isinstance(node, ast.List | ast.Tuple)
            for before, after in zip(node.elts, node.elts[1:], strict=False)
            if isinstance(before, ast.Constant) and before.value == "-m"
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                taken = [(alias.name, "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                package = _absolute(module, node)
                taken = [
                    (f"{package}.{alias.name}", "")
                    if self.module(f"{package}.{alias.name}")
                    else (package, alias.name)
                    for alias in node.names
                ]
            elif isinstance(node, ast.Call):
                taken = [(name, "") for name in _imported_by_f_string(node)]
            elif isinstance(node, ast.Constant) and id(node) not in started:
                text = node.value if isinstance(node.value, str) else ""
                taken = [(text, "")] if "." in text else []
            else:
                continue
            for name, member in taken:
                if found := self.module(name):
                    yield Import(importer=module, imported=found, name=member)

    def _handed_on(
        self, importer: str, one: Import, direct: Mapping[str, set[Import]]
    ) -> Iterator[Import]:
        """Where a name comes from that a package's `__init__` has from another module."""
        if not one.imported.endswith(".__init__") or not one.name:
            return
        for origin in direct.get(one.imported, ()):
            if origin.name == one.name:
                onward = Import(importer=importer, imported=origin.imported, name=one.name)
                yield onward
                yield from self._handed_on(importer, onward, direct)

    @property
    def pairs(self) -> set[tuple[str, str]]:
        """(module, imported module)."""
        return {(one.importer, one.imported) for one in self.imports}

    @property
    def all_rooms(self) -> set[str]:
        """The rooms of all packages, also an `__init__` without an arrow."""
        return {_room(module) for module in self.trees}

    def rooms(self, package: str) -> set[str]:
        """The rooms of a package, by name; with `__init__` only where it has an arrow."""
        in_use = {room for arrow in self.arrows(package) for room in arrow}
        named = {room for room in self.all_rooms if room.startswith(f"{package}.")}
        return named - ({f"{package}.__init__"} - in_use)

    def arrows(self, package: str | None = None) -> dict[tuple[str, str], list[Import]]:
        """(room, imported room) -> its imports; within a package, or between rooms of all."""
        found = defaultdict[tuple[str, str], list[Import]](list)
        for one in self.imports:
            room, to = _room(one.importer), _room(one.imported)
            tops = {room.split(".")[0], to.split(".")[0]}
            if room != to and (package is None or tops == {package}):
                found[room, to].append(one)
        return dict(found)


def cycles(nodes: Iterable[str], arrows: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The sets of two or more nodes that reach one another, each sorted."""
    reached = _reached(nodes, arrows)
    found = {tuple(sorted({a, *(b for b in reached[a] if a in reached[b])})) for a in reached}
    return sorted(list(each) for each in found if len(each) > 1)


def _reached(nodes: Iterable[str], arrows: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """Node -> what its arrows lead to, over any number of steps."""
    onward = {node: set[str]() for node in nodes}
    for a, b in arrows:
        onward.setdefault(a, set()).add(b)
        onward.setdefault(b, set())
    reached = dict[str, set[str]]()
    for node in onward:
        seen, ahead = set[str](), [node]
        while ahead:
            for each in onward[ahead.pop()] - seen:
                seen.add(each)
                ahead.append(each)
        reached[node] = seen
    return reached


def floors(rooms: Iterable[str], arrows: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Room -> its floor, from 1 for a room that imports no other."""
    arrows = list(arrows)
    reached = _reached(rooms, arrows)
    floor = dict.fromkeys(reached, 1)
    # A room that another one reaches, and that doesn't reach it back, reaches fewer than that one.
    for room in sorted(reached, key=lambda each: len(reached[each] | {each})):
        together = {room, *(other for other in reached[room] if room in reached[other])}
        below = [floor[b] for a, b in arrows if a in together and b not in together]
        floor[room] = 1 + max(below, default=0)
    return floor


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    return ".".join([*module.split(".")[: -node.level], *([node.module] if node.module else [])])


def _imported_by_f_string(call: ast.Call) -> list[str]:
    """`a.b` of `import_module(f"a.b.{name}")`."""
    named = ast.unparse(call.func).endswith("import_module") and call.args
    if not named or not isinstance(call.args[0], ast.JoinedStr):
        return []
    first = call.args[0].values[0]
    fixed = first.value if isinstance(first, ast.Constant) else ""
    return [fixed.rpartition(".")[0]] if isinstance(fixed, str) else []
