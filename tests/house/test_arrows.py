"""The arrows between the rooms, and which library may be imported where."""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A room may import itself and these.
ARROWS = {
    "search": ("common", "trainables", "datasets", "results"),
    # Final training hands on what test said, keeps the images that its page shows, and writes it.
    "trainables": (
        "common", "datasets", "results.records", "results.run_hints", "results.predictions",
        "results.analysis.error_analysis", "results.final",
    ),
    "datasets": ("common",),
    "results": ("common",),
    # Until what they borrow is moved to the ground floor too.
    "common": ("datasets.spec",),
}  # fmt: skip

_RAY = ("search/ray_backend/*",)
_TRAINING = (
    "trainables/*",
    "datasets/loading/*",
    "datasets/beton/writer.py",
)

# A library may be imported by files that match one of these.
HOMES = {
    "ray": _RAY,
    "optuna": ("search/*", "results/*"),
    "plotly": ("results/page/*",),
    "jinja2": ("results/page/*",),
    "torch": _TRAINING,
    "torchvision": _TRAINING,
    "timm": ("trainables/*",),
    "ffcv": _TRAINING,
    "numba": _TRAINING,
}

# Files that need the standard library and these only, and files that stay free of torch.
PLAIN: dict[str, tuple[str, ...]] = {
    "results/records.py": (),
    "results/run_hints.py": (),
    "search/preflight.py": ("packaging",),
}
LIGHT = ("trainables/config.py", "trainables/catalog.py")


class Import(NamedTuple):
    file: str
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def imports(root: Path) -> Iterator[Import]:
    """Every import statement of the rooms, also inside functions and `if TYPE_CHECKING`.

    `from a import b` counts as `a.b` where `b` is a module of ours, else as `a`.
    """
    for path in sorted(path for room in ARROWS for path in (root / room).rglob("*.py")):
        file = path.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                package = _absolute(file, node)
                modules = [
                    _module(root, f"{package}.{alias.name}") or package for alias in node.names
                ]
            else:
                continue
            for module in dict.fromkeys(modules):
                yield Import(file, node.lineno, module)


def _absolute(file: str, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    parents = file.split("/")[: -node.level]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _module(root: Path, name: str) -> str | None:
    path = root.joinpath(*name.split("."))
    return name if path.with_suffix(".py").is_file() or path.is_dir() else None


def _within(module: str, place: str) -> bool:
    return module == place or module.startswith(place + ".")


def violations(root: Path) -> list[str]:
    """One sentence for each import against an arrow, and for each library away from its home."""
    found = []
    for each in imports(root):
        room, top = each.file.split("/")[0], each.module.split(".")[0]
        if top in ARROWS and not any(_within(each.module, to) for to in (room, *ARROWS[room])):
            allowed = ", ".join(ARROWS[room]) or "no other room"
            found.append(f"{each}, but {room} may import {allowed}.")
        homes = HOMES.get(top)
        if homes is not None and not any(fnmatch(each.file, home) for home in homes):
            found.append(f"{each}, but {top} is at home in {', '.join(homes)}.")
        if each.file in LIGHT and homes is _TRAINING:
            found.append(f"{each}, but {each.file} is read without loading {top}.")
        plain = PLAIN.get(each.file)
        if plain is not None and top not in {*sys.stdlib_module_names, *plain}:
            found.append(f"{each}, but {each.file} uses the standard library only.")
    return found


def cycle(root: Path) -> list[str]:
    """The modules of one import cycle, in order; empty when there is none."""
    graph: dict[str, set[str]] = {}
    for each in imports(root):
        name = each.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if each.module.split(".")[0] in ARROWS and each.module != name:
            graph.setdefault(name, set()).add(each.module)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_import_follows_the_arrows() -> None:
    assert violations(ROOT) == []


def test_no_module_imports_itself_through_others() -> None:
    assert cycle(ROOT) == []


def test_the_rooms_are_seen() -> None:
    seen = {each.file.split("/")[0] for each in imports(ROOT)}
    assert seen == set(ARROWS)


def _plant(root: Path, files: dict[str, str]) -> None:
    for file, text in files.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("file", "text", "rule"),
    [
        ("datasets/a.py", "import trainables.config\n", "datasets may import common"),
        ("results/a.py", "from search.study import study\n", "results may import common"),
        ("results/a.py", "from ..search import study\n", "results may import common"),
        (
            "trainables/a.py",
            "from results import store\n",
            "may import common, datasets, results.records",
        ),
        (
            "trainables/a.py",
            "def f():\n    import ray.tune\n",
            "ray is at home in search/ray_backend/*",
        ),
        (
            "search/early_stopping/asha.py",
            "from ray import tune\n",
            "ray is at home in search/ray_backend/*",
        ),
        ("trainables/a.py", "import optuna\n", "optuna is at home in search/*, results/*"),
        ("search/a.py", "import torch.nn as nn\n", "torch is at home in trainables/*"),
        ("datasets/prepare.py", "import ffcv\n", "ffcv is at home in trainables/*"),
        ("trainables/config.py", "import torch\n", "trainables/config.py is read without"),
        ("results/records.py", "import numpy\n", "results/records.py uses the standard library"),
    ],
)
def test_a_wrong_import_is_named(tmp_path: Path, file: str, text: str, rule: str) -> None:
    _plant(tmp_path, {file: text, "search/study/study.py": "", "results/store.py": ""})
    found = violations(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(f"{file}:{len(text.splitlines())} imports ")
    assert rule in found[0]


def test_right_imports_pass(tmp_path: Path) -> None:
    _plant(
        tmp_path,
        {
            "search/ray_backend/worker.py": "import ray, torchless\n"
            "from trainables.train import train\n",
            "trainables/train.py": "import torch\nfrom results.records import EpochMetrics\n"
            "from results import records\n",
            "datasets/loading/memo.py": "import numba\nimport datasets.spec\n",
            "results/records.py": "import json\n",
        },
    )
    assert violations(tmp_path) == []


def test_a_cycle_is_named(tmp_path: Path) -> None:
    _plant(
        tmp_path,
        {
            "search/a.py": "from search import b\n",
            "search/b.py": "import search.c\n",
            "search/c.py": "from search.a import thing\n",
        },
    )
    assert set(cycle(tmp_path)) == {"search.a", "search.b", "search.c"}
