"""A space's file and those beside it that it imports: found, recorded, copied, and kept apart."""

import sys
from pathlib import Path

import pytest

from results.store import read_manifest
from search.space import SpaceError
from search.spaces import find_space, find_space_files
from search.study.proposer import Proposer
from tests.search.session_on_curves import planned, search

SPACE = """from __future__ import annotations

from dataclasses import dataclass

import helpers.aug
from _ranges import lr
from search.space import Space
from trainables.config import TrialConfig

from . import _more


@dataclass
class Kept:
    at: int


def suggest(trial):
    from _late import dropout

    return {"lr": lr(trial), "dropout": dropout(trial), **helpers.aug.flip(trial)}


SPACE = Space(
    summary="mine",
    dataset="demo",
    baseline=TrialConfig(network="resnet10", lr=_more.LR, epochs=9),
    suggest=suggest,
)
"""
RANGES = "def lr(trial):\n    return trial.suggest_float('lr', 1e-4, 1e-2, log=True)\n"
FILES = {
    "_ranges.py": RANGES,
    "_more.py": "LR = 2e-3\n",
    "_late.py": "def dropout(trial):\n    return trial.suggest_float('dropout', 0.0, 0.5)\n",
    "helpers/aug.py": (
        "from helpers.name import FLIP\n"
        "from _more import LR\n"
        "def flip(trial):\n"
        "    return {FLIP: trial.suggest_categorical(FLIP, [True, False])}\n"
    ),
    "helpers/name.py": "FLIP = 'flip'\n",
}


def write(folder: Path, name: str = "mine.py", **more: str) -> Path:
    """Writes the space with its siblings; `more` replaces or adds texts by the file's stem."""
    texts = {name: SPACE, **FILES, **{f"{stem}.py": text for stem, text in more.items()}}
    for place, text in texts.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")
    return folder / name


def test_a_space_imports_what_lies_beside_it_and_leaves_no_name_behind(tmp_path: Path) -> None:
    path, before, known = write(tmp_path), list(sys.path), set(sys.modules)
    space = find_space(str(path))
    assert set(Proposer(space, {}, 0).baseline_params()) == {"lr", "dropout", "flip"}
    assert sys.path == before
    assert {name.partition(".")[0] for name in set(sys.modules) - known} <= {
        name for name in sys.modules if name.startswith("space_files_")
    }
    found = [str(each.relative_to(tmp_path)) for each in find_space_files(str(path))]
    assert found[0] == "mine.py"
    assert sorted(found[1:]) == sorted(FILES)


def test_two_folders_may_have_files_of_one_name(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a"), write(tmp_path / "b", _more="LR = 5e-3\n")
    spaces = [find_space(str(each)) for each in (first, second)]
    assert [each.baseline.lr for each in spaces] == [2e-3, 5e-3]
    assert Proposer(spaces[0], {}, 0).baseline_params()["lr"] == 2e-3


OTHER = """from _common import augment
from search.space import Space
from trainables.config import TrialConfig

import _common

_common.LR *= 2


def suggest(trial):
    from _own_late import dropout

    return {**dropout(trial), **augment(trial)}


SPACE = Space(
    summary="other",
    dataset="demo",
    baseline=TrialConfig(network="resnet10", lr=_common.LR, dropout=0.0),
    suggest=suggest,
)
"""
COMMON = """LR = 1e-3


def augment(trial):
    if "dropout" in trial.params:
        from . import _flips

        return _flips.flip(trial)
    return {}
"""
DROPOUT = """def dropout(trial):
    return {"dropout": trial.suggest_float("dropout", 0.0, 0.5)}
"""
FLIPS = """def flip(trial):
    return {"flip": trial.suggest_categorical("flip", [True, False])}
"""


def test_two_spaces_of_one_folder_share_neither_files_nor_values(tmp_path: Path) -> None:
    """Here `first` imports `_common` and `_late`, and `second` three files; `first` asks late."""
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    late = OTHER.replace("_own_late", "_late").replace("_common.LR *= 2\n", "")
    first.write_text(late.replace("**augment(trial)", "'flip': True"), encoding="utf-8")
    second.write_text(OTHER, encoding="utf-8")
    for stem, text in (
        ("_common", COMMON), ("_late", DROPOUT), ("_own_late", DROPOUT), ("_flips", FLIPS),
    ):  # fmt: skip
        (tmp_path / f"{stem}.py").write_text(text, encoding="utf-8")
    spaces = [find_space(str(path)) for path in (first, second)]
    for space in reversed(spaces):
        assert Proposer(space, {}, 0).probe(3)
    names = [[file.name for file in find_space_files(str(path))] for path in (first, second)]
    assert names[0] == ["first.py", "_common.py", "_late.py"]
    assert names[1][0] == "second.py"
    assert sorted(names[1][1:]) == ["_common.py", "_flips.py", "_own_late.py"]
    assert [space.baseline.lr for space in spaces] == [1e-3, 2e-3]
    again = find_space(str(first))  # reads `_common` anew
    assert again.baseline.lr == 1e-3
    assert "_flips.py" not in {file.name for file in find_space_files(str(first))}


def test_a_file_elsewhere_on_python_s_path_never_stands_for_a_sibling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "_more.py").write_text("LR = 9e-3\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(elsewhere))
    path = write(tmp_path / "mine")
    assert find_space(str(path)).baseline.lr == 2e-3
    assert tmp_path / "mine" / "_more.py" in find_space_files(str(path))


def test_a_changed_sibling_is_read_anew_even_within_one_second(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert find_space(str(path)).baseline.lr == 2e-3
    (tmp_path / "_more.py").write_text("LR = 3e-3\n", encoding="utf-8")
    assert find_space(str(path)).baseline.lr == 3e-3
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_file_s_name_needs_not_be_a_name_of_python(tmp_path: Path) -> None:
    assert find_space(str(write(tmp_path, "my-space.v2.py"))).summary == "mine"


def test_a_name_of_another_module_never_shadows_it(tmp_path: Path) -> None:
    """Only a file that is wanted, and that can't be had, is named; others don't matter."""
    path = write(tmp_path, datasets="BAD = 1\n", search="1 / 0\n", torch="1 / 0\n", json="1 / 0\n")
    (tmp_path / "trainables").mkdir()
    assert Proposer(find_space(str(path)), {}, 0).probe(3)
    path.write_text("from datasets import GOOD\n" + SPACE.partition("\n")[2], encoding="utf-8")
    with pytest.raises(SpaceError) as caught:
        find_space(str(path))
    assert str(caught.value) == (
        f"A file beside a space must have a name of its own, but {tmp_path / 'datasets.py'} has "
        "that of another module, datasets, which is imported in its place and has no GOOD; rename "
        "the file."
    )
    path.write_text("import json.mine\n" + SPACE.partition("\n")[2], encoding="utf-8")
    with pytest.raises(SpaceError, match=r"has no json.mine; rename the file"):
        find_space(str(path))


def test_a_sibling_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "_ranges.py").unlink()
    with pytest.raises(SpaceError, match="No module named '_ranges'"):
        find_space(str(path))
    (tmp_path / "_ranges.py").write_text("lr = (", encoding="utf-8")
    with pytest.raises(SpaceError, match=r"SyntaxError: '\(' was never closed \(_ranges.py"):
        find_space(str(path))


def test_a_run_copies_siblings_and_notices_their_change(tmp_path: Path, tiny_data: Path) -> None:
    path = write(tmp_path / "own")
    plan = planned(tmp_path, tiny_data, {"space": str(path)}, name="run", trials=3)
    search(plan)
    copies = tmp_path / "run" / "space"
    names = {str(each.relative_to(copies)) for each in copies.rglob("*.py")}
    assert names == {"mine.py", *FILES}
    recorded = read_manifest(tmp_path / "run")["searched"]["files"]
    assert {each["name"] for each in recorded} == names
    (path.parent / "_ranges.py").write_text(f"{RANGES}# a note\n", encoding="utf-8")
    again = planned(tmp_path, tiny_data, {}, name="run", trials=3)
    assert again.searched.notes == (
        "_ranges.py has changed since the run began, but the ranges are the same",
    )
    (path.parent / "_ranges.py").write_text(RANGES.replace("1e-2", "2e-2"), encoding="utf-8")
    with pytest.raises(AssertionError, match=r"mine.py has changed: lr is 0.0001 … 0.02"):
        planned(tmp_path, tiny_data, {}, name="run", trials=3)
    copy = {"space": str(copies / "mine.py")}
    assert planned(tmp_path, tiny_data, copy, name="run", trials=3).searched.notes == ()
