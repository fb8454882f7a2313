"""Nothing that was downloaded can run code, or write where it likes, when it is read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("search", "trainables", "datasets", "results", "common")

# The one reader of pickles, which admits five names and no more.
PICKLES = "datasets/sources/cifar_pickle.py"

# Calls by their whole names, and the argument without which each of them is refused.
NEED = {
    "torch.load": "weights_only=True",
    "torch.hub.load_state_dict_from_url": "weights_only=True",
    "shutil.unpack_archive": "filter='data'",
}
# Methods of archives, whatever the archive is called.
NEED_METHODS = {"extractall": "filter='data'", "extract": "filter='data'"}

NEVER = (
    "eval", "exec", "marshal.load", "marshal.loads", "shelve.open", "torch.hub.load",
    "torch.jit.load", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all",
    "yaml.full_load", "yaml.full_load_all", "yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader",
    "pandas.read_pickle", "joblib.load",
)  # fmt: skip
PICKLING = tuple(
    f"{library}.{name}"
    for library in ("pickle", "_pickle", "cloudpickle", "dill")
    for name in ("load", "loads", "Unpickler")
)
NEVER_ARGUMENTS = ("allow_pickle=True", "trust_remote_code=True", "weights_only=False")


def faults(root: Path) -> Iterator[str]:
    """One sentence for each unsafe read in the rooms."""
    for path in sorted(path for room in ROOMS for path in (root / room).rglob("*.py")):
        file = path.relative_to(root).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = _imported(tree)
        for node in ast.walk(tree):
            for fault in _faults(node, names, pickles=file == PICKLES):
                yield f"{file}:{getattr(node, 'lineno', 0)} {fault}"


def _imported(tree: ast.AST) -> dict[str, str]:
    """What a file calls its imports -> their whole names."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _faults(node: ast.AST, names: dict[str, str], *, pickles: bool) -> Iterator[str]:
    if isinstance(node, ast.Name | ast.Attribute):
        name = _whole_name(node, names)
        if name in NEVER or (name in PICKLING and not pickles):
            yield f"uses {name}."
    if isinstance(node, ast.Call):
        given = {f"{each.arg}={ast.unparse(each.value)}" for each in node.keywords}
        name = _whole_name(node.func, names)
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        needed = NEED.get(name) or NEED_METHODS.get(method)
        if needed and needed not in given:
            yield f"calls {name or method} without {needed}."
        for argument in given.intersection(NEVER_ARGUMENTS):
            yield f"passes {argument}."


def _whole_name(node: ast.expr, names: dict[str, str]) -> str:
    text = ast.unparse(node)
    first, dot, rest = text.partition(".")
    return names.get(first, first) + dot + rest


def test_every_read_is_safe() -> None:
    assert list(faults(ROOT)) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("import torch\ntorch.load(p)", "calls torch.load without weights_only=True."),
        ("import torch\ntorch.load(p, weights_only=x)", "calls torch.load without"),
        ("import torch as t\nt.load(p)", "calls torch.load without"),
        ("from torch import load\nload(p)", "calls torch.load without"),
        ("import torch\ntorch.load(p, weights_only=False)", "passes weights_only=False."),
        ("from torch.hub import load_state_dict_from_url as f\nf(u)", "load_state_dict_from_url"),
        ("import pickle\npickle.loads(b)", "uses pickle.loads."),
        ("import pickle as p\nclass U(p.Unpickler): ...", "uses pickle.Unpickler."),
        ("from pickle import load as read\nread(f)", "uses pickle.load."),
        ("import cloudpickle\ncloudpickle.load(f)", "uses cloudpickle.load."),
        ("import yaml\nyaml.load(t, Loader=yaml.SafeLoader)", "uses yaml.load."),
        ("import yaml\nyaml.unsafe_load(t)", "uses yaml.unsafe_load."),
        ("from yaml import FullLoader", ""),
        ("from yaml import FullLoader\nFullLoader(t)", "uses yaml.FullLoader."),
        ("def f(archive):\n    archive.extractall(to)", "calls archive.extractall without filter"),
        ("import shutil\nshutil.unpack_archive(a)", "calls shutil.unpack_archive without filter"),
        ("import numpy as np\nnp.load(p, allow_pickle=True)", "passes allow_pickle=True."),
        ("eval(text)", "uses eval."),
        ("import torch\ntorch.load(p, weights_only=True)", ""),
        ("import yaml, pickle\nyaml.safe_load(t)\npickle.UnpicklingError", ""),
        ("import tarfile\ntarfile.open(p).extractall(to, filter='data')", ""),
        ("model.eval()\nmodel.load(p)", ""),
    ],
)
def test_an_unsafe_read_is_named(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.py").write_text(text, encoding="utf-8")
    found = list(faults(tmp_path))
    assert bool(found) is bool(fault)
    assert all(each.startswith("results/a.py:") for each in found)
    assert not fault or any(fault in each for each in found)


def test_the_reader_of_pickles_alone_may_read_them(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / PICKLES).parent.mkdir(parents=True)
    (tmp_path / PICKLES).write_text(
        "import pickle\nclass Reader(pickle.Unpickler): ...\n", encoding="utf-8"
    )
    (tmp_path / "datasets" / "other.py").write_text(
        "import pickle\npickle.load(f)\n", encoding="utf-8"
    )
    assert list(faults(tmp_path)) == ["datasets/other.py:2 uses pickle.load."]
