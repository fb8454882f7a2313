"""Measures the house: its rooms, the arrows between them, its sizes, and what it says by string.

    python -m tests.house.measure_house [COMMIT …]    a Markdown table, a column for each commit
    python -m tests.house.measure_house --check       fails where the working tree exceeds a bound
    python -m tests.house.measure_house --arrows      which room imports which, and what for

`import_graph` says what a room, an arrow, a floor and a cycle is. Beside these:

* Files, functions and lines are Python's, without tests; files in a folder include `__init__`. A
  function reaches from its `def` to its last line. A line of code holds a token that is no comment
  and no part of a docstring, which is any statement that is nothing but a string.
* A string key between driver and worker is a read, by `[…]` or `.get(…)`, with a constant string
  of what is called `task`, `config`, `new_config` or `result`, or ends so (`trial.config`,
  `self._task`); in search/ray_backend/ or, before that, in the files of search/ that import Ray.
* The README's words are runs of letters, digits and underscores.

An earlier count of commit 1ba3fe8, by other means, agrees with this one on trainables/ (43 rooms,
123 arrows, 12 floors), datasets/ (33, 73, 7), results/ (52 arrows, 7 floors), search/ (13 floors),
the longest file (319 lines) and the README (5,075 words). It differs on these:

| figure | earlier | here | why |
|---|---|---|---|
| search/: rooms, arrows | 70, 222 | 81, 241 | its rule isn't known; each file is a room here |
| results/: rooms | 19 | 20 | `disk`, which has no arrow, is counted |
| files in one folder | 82 | 81 | subfolders aren't |
| longest function | 80 | 81 | both ends are |
| reads by string | 26 | 42 | on 30 lines: each read is counted, and those of `result` too |
| cycles of rooms | 0 | 1 | search/space.py looked into search/spaces/, whose files import it |
"""

import argparse
import ast
import io
import re
import subprocess
import sys
import tarfile
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.house.import_graph import PACKAGES, ImportGraph, cycles, floors

ROOT = Path(__file__).resolve().parents[2]

BOUNDED = PACKAGES[:-1]
"""The packages whose rooms, arrows and floors have bounds; the ground floor has none."""

BOUNDS = {
    "rooms in search/": 20, "arrows in search/": 46, "floors in search/": 8,
    "rooms in trainables/": 14, "arrows in trainables/": 33, "floors in trainables/": 7,
    "rooms in datasets/": 14, "arrows in datasets/": 32, "floors in datasets/": 7,
    "rooms in results/": 21, "arrows in results/": 54, "floors in results/": 8,
    "most files in one folder": 18, "longest file, lines": 290, "longest function, lines": 60,
    "import cycles between modules": 0, "import cycles between rooms": 0,
    "string keys between driver and worker, reads": 0, "README, words": 1100,
    "lines of code": 33_730,
}  # fmt: skip
"""Figure -> the most that the working tree may have.

1ba3fe8 had 16,104 lines of code. The tables of recorded curves and the race came after it, with 560
lines; smaller files and functions cost some in imports and signatures. Another 2,000 end a search
in order, watch Ray, chain and sign records, and bound what comes from elsewhere. Knowing each GPU,
and saying what a search may still gain and what its rungs tell, took another 1,500, and simulating
searches of a table's rows alone 100. Keeping the outputs of frozen stages took 240, and computing
them in parts 140, short trainings before the trials 800, doing without torch's compiler 50,
evidence in columns 40, a note on long final trainings 10, folding frozen BatchNorm 60, listing and
showing runs in a terminal 700, serving a live page 590, and showing how busy the machine is 180.
Steering a search by hand, and a user's commands at its end, took 1,600, spaces with files beside
them and networks to choose 1,100, any number of own datasets 550, a search from Python 700,
predictions of whole folders 700, keeping what a trial prints 240, telling what each parameter does
100, choosing how much is val 50, and calibrated probabilities 40. Lower this bound when lines go;
raise it for a feature, never for want of care.
"""


class House:
    """The Python files and the README of one state of the project.

    files: path relative to the root, with slashes -> text; tests are passed over.
    """

    def __init__(self, files: Mapping[str, str], readme: str = "") -> None:
        self.readme = readme
        self.files = {file: text for file, text in files.items() if not file.startswith("tests/")}
        self.trees = {file: ast.parse(text, file) for file, text in self.files.items()}
        self.graph = ImportGraph(self.trees)

    def folders(self) -> Counter[str]:
        """Folder -> how many Python files lie in it."""
        return Counter(file.rpartition("/")[0] or "." for file in self.files)

    def functions(self) -> Iterator[tuple[int, str]]:
        """Lines and name of each function."""
        for file, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield (node.end_lineno or 0) - node.lineno + 1, f"{file}:{node.name}"

    def module_cycles(self) -> list[str]:
        """The modules of each cycle."""
        return [" ⇄ ".join(each) for each in cycles(self.graph.trees, self.graph.pairs)]

    def room_cycles(self) -> list[str]:
        """The rooms of each cycle, of all packages together."""
        return [" ⇄ ".join(each) for each in cycles(self.graph.all_rooms, self.graph.arrows())]

    def string_keys(self) -> list[str]:
        """The place of each read by string between driver and worker, and the read."""
        backend = [file for file in self.files if file.startswith("search/ray_backend/")]
        flat = [file for file in self.files if re.fullmatch(r"search/\w+\.py", file)]
        read = backend or [file for file in flat if _imports_ray(self.trees[file])]
        found = [
            (file, node.lineno, ast.unparse(node))
            for file in read
            for node in ast.walk(self.trees[file])
            if isinstance(node, ast.expr) and _reads_by_string(node)
        ]
        return [f"{file}:{line} {text}" for file, line, text in sorted(found)]

    def figures(self) -> dict[str, int]:
        """The figures, named as in `BOUNDS`."""
        found = dict[str, int]()
        for package in BOUNDED:
            rooms, arrows = self.graph.rooms(package), self.graph.arrows(package)
            found[f"rooms in {package}/"] = len(rooms)
            found[f"arrows in {package}/"] = len(arrows)
            found[f"floors in {package}/"] = max(floors(rooms, arrows).values(), default=0)
        found["most files in one folder"] = max(self.folders().values(), default=0)
        found["longest file, lines"] = max(map(_lines, self.files.values()), default=0)
        found["longest function, lines"] = max(self.functions(), default=(0, ""))[0]
        found["import cycles between modules"] = len(self.module_cycles())
        found["import cycles between rooms"] = len(self.room_cycles())
        found["string keys between driver and worker, reads"] = len(self.string_keys())
        found["README, words"] = len(re.findall(r"\w+", self.readme))
        found["lines of code"] = sum(
            len(code_lines(text, self.trees[file])) for file, text in self.files.items()
        )
        return found

    def places(self, figure: str) -> list[str]:
        """What takes a figure above its bound, worst first; empty where no single place does."""
        sized: Mapping[str, list[tuple[int, str]]] = {
            "most files in one folder": [(n, folder) for folder, n in self.folders().items()],
            "longest file, lines": [(_lines(text), file) for file, text in self.files.items()],
            "longest function, lines": list(self.functions()),
        }
        listed = {
            "import cycles between modules": self.module_cycles(),
            "import cycles between rooms": self.room_cycles(),
            "string keys between driver and worker, reads": self.string_keys(),
        }
        above = sorted(each for each in sized.get(figure, ()) if each[0] > BOUNDS[figure])
        return [f"{place} {size}" for size, place in reversed(above)] + listed.get(figure, [])


def _imports_ray(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        if any(name.split(".")[0] == "ray" for name in names):
            return True
    return False


_CARRIERS = ("task", "config", "new_config", "result")


def _reads_by_string(node: ast.expr) -> bool:
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        carrier, key = node.value, node.slice
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        carrier, key = node.func.value, node.args[0]
        if node.func.attr != "get":
            return False
    else:
        return False
    name = carrier.attr if isinstance(carrier, ast.Attribute) else getattr(carrier, "id", "")
    return (
        name.removeprefix("_") in _CARRIERS
        and isinstance(key, ast.Constant)
        and isinstance(key.value, str)
    )


def _lines(text: str) -> int:
    return len(text.splitlines())


def code_lines(text: str, tree: ast.AST) -> set[int]:
    """The numbers of the lines that hold code: no blanks, no comments, no docstrings."""
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    starts = {(each.lineno, each.col_offset) for each in strings}
    docs = {line for each in strings for line in range(each.lineno, (each.end_lineno or 0) + 1)}
    blank = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
        tokenize.ENDMARKER,
    }  # fmt: skip
    found = set[int]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in blank or token.start in starts or token.start[0] in docs:
            continue
        found |= set(range(token.start[0], token.end[0] + 1))
    return found


def read_tree(root: Path = ROOT) -> House:
    """The working tree: what git tracks, and what it doesn't know yet but wouldn't ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=root, check=True, capture_output=True, encoding="utf-8",
    ).stdout.split("\0")  # fmt: skip
    paths = {file: root / file for file in listed if file and (root / file).is_file()}
    texts = {file: path.read_text(encoding="utf-8") for file, path in paths.items()}
    return House(texts, (root / "README.md").read_text(encoding="utf-8"))


def read_commit(commit: str, root: Path = ROOT) -> House:
    """One commit. Raises `subprocess.CalledProcessError` where git knows none of that name."""
    packed = subprocess.run(
        ["git", "archive", commit], cwd=root, check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        texts = {
            member.name: file.read().decode("utf-8")
            for member in tar
            if member.name.endswith((".py", "README.md")) and (file := tar.extractfile(member))
        }
    files = {name: text for name, text in texts.items() if name.endswith(".py")}
    return House(files, texts.get("README.md", ""))


def table(columns: Mapping[str, Mapping[str, int]]) -> str:
    """A Markdown table of figures, a column for each state, and the bounds last."""
    rows = [["figure", *columns, "bound"], ["---", *["---:"] * (len(columns) + 1)]]
    for figure, bound in BOUNDS.items():
        measured = [f"{figures[figure]:,}" for figures in columns.values()]
        rows.append([figure, *measured, f"≤ {bound:,}" if bound else "0"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def exceeded(house: House) -> list[str]:
    """A sentence for each figure above its bound, with the places that take it there."""
    found = []
    for figure, measured in house.figures().items():
        if measured > BOUNDS[figure]:
            places = house.places(figure)
            where = f": {'; '.join(places)}" if places else ""
            found.append(f"{figure}: {measured:,}, bound {BOUNDS[figure]:,}{where}.")
    return found


def arrow_table(graph: ImportGraph) -> str:
    """A Markdown table of every arrow within a package, with the imports that make it."""
    rows = ["| room (floor) | imports (floor) | because of |", "|---|---|---|"]
    for package in BOUNDED:
        arrows = graph.arrows(package)
        floor = floors(graph.rooms(package), arrows)
        for (room, to), imports in sorted(arrows.items()):
            because = ", ".join(map(str, imports))
            rows.append(f"| {room} ({floor[room]}) | {to} ({floor[to]}) | {because} |")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what is asked for. Returns 1 where a bound is exceeded or a commit is unknown."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.house.measure_house", description="Measures the house."
    )
    parser.add_argument("commits", nargs="*", metavar="COMMIT", help="instead of the working tree")
    parser.add_argument("--check", action="store_true", help="fail where a bound is exceeded")
    parser.add_argument("--arrows", action="store_true", help="list the arrows, not the figures")
    options = parser.parse_args(arguments)
    try:
        houses = {commit: read_commit(commit) for commit in options.commits}
    except subprocess.CalledProcessError as error:
        print(f"error: {error.stderr.decode().strip()}", file=sys.stderr)
        return 1
    houses = houses or {"working tree": read_tree()}
    if options.check:
        found = [sentence for house in houses.values() for sentence in exceeded(house)]
        print("\n".join(found) or "The house keeps its bounds.")
        return bool(found)
    if options.arrows:
        print("\n\n".join(arrow_table(house.graph) for house in houses.values()))
    else:
        print(table({name: house.figures() for name, house in houses.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
