"""Counting of rooms, arrows, floors, sizes and string keys, by packages small enough to count."""

import ast
import subprocess
from pathlib import Path

import pytest

from tests.house.import_graph import ImportGraph, cycles, floors
from tests.house.measure_house import (
    BOUNDS,
    House,
    arrow_table,
    code_lines,
    exceeded,
    main,
    read_commit,
    read_tree,
    table,
)

# Five rooms of search: run on floor 4, session on 3, ray_backend on 2, config and space on 1.
SEARCH = {
    "search/__init__.py": "",
    "search/run.py": (
        "from search.session import begin\ndef main():\n    import search.config.options\n"
    ),
    "search/session/__init__.py": "from search.session.begin import begin\n",
    "search/session/begin.py": (
        "from typing import TYPE_CHECKING\n"
        "from search.session import log\n"
        "if TYPE_CHECKING:\n    from search.ray_backend.tuner import Tuner\n"
        'COMMAND = ["python", "-m", "search.run"]\n'
    ),
    "search/session/log.py": "",
    "search/ray_backend/__init__.py": "",
    "search/ray_backend/tuner.py": (
        'import importlib\nimport ray\nPRELOAD = {"modules": "search.config.options"}\n'
        'def find(name):\n    return importlib.import_module(f"search.space.{name}")\n'
    ),
    "search/config/__init__.py": "",
    "search/config/options.py": "from results.records import Trial\n",
    "search/space.py": "",
    "results/__init__.py": "",
    "results/records.py": "",
}


def _graph(files: dict[str, str]) -> ImportGraph:
    return ImportGraph({file: ast.parse(text) for file, text in files.items()})


def test_rooms_arrows_and_floors_are_counted() -> None:
    graph = _graph(SEARCH)
    rooms, arrows = graph.rooms("search"), graph.arrows("search")
    assert rooms == {
        f"search.{room}" for room in ("run", "session", "ray_backend", "config", "space")
    }
    assert set(arrows) == {
        ("search.run", "search.session"),
        ("search.run", "search.config"),
        ("search.session", "search.ray_backend"),
        ("search.ray_backend", "search.config"),
        ("search.ray_backend", "search.space"),
    }
    assert floors(rooms, arrows) == {
        "search.run": 4, "search.session": 3, "search.ray_backend": 2, "search.config": 1,
        "search.space": 1,
    }  # fmt: skip
    assert graph.arrows("results") == {}
    assert ("search.config", "results.records") in graph.arrows()


@pytest.mark.parametrize(
    ("text", "imported"),
    [
        ("import results.store", ["results.store"]),
        ("import results.page", ["results.page.__init__"]),
        ("from results import page, store", ["results.page.__init__", "results.store"]),
        ("from results import Table", ["results.__init__"]),
        ("from results.store import a, b", ["results.store", "results.store"]),
        ("from .store import a", ["results.store"]),
        ("from . import store", ["results.store"]),
        ("def f():\n    if x:\n        from results import store", ["results.store"]),
        ("PRELOAD = 'results.store'", ["results.store"]),
        ("run(['python', '-m', 'results.store'])", []),
        ("'results.store is a module'", []),
        ("'results'", []),
        ("import_module(f'results.page.{name}')", ["results.page.__init__"]),
        ("import_module(f'{name}.page')", []),
        ("import results.missing, numpy.results.store", []),
    ],
)
def test_an_import_is_seen_however_it_is_written(text: str, imported: list[str]) -> None:
    graph = _graph(
        {"results/__init__.py": "", "results/a.py": text, "results/store.py": "",
         "results/page/__init__.py": "", "results/page/table.py": ""}
    )  # fmt: skip
    assert [one.imported for one in graph.imports] == imported


def test_a_name_handed_on_by_an_init_has_an_arrow_to_where_it_comes_from() -> None:
    graph = _graph(
        {
            "search/a/__init__.py": "from search.b import thing\nfrom search.a.own import mine\n",
            "search/a/own.py": "mine = 1\n",
            "search/b.py": "thing = 1\n",
            "search/c.py": "from search.a import thing\n",
            "search/d.py": "from search.a import mine\n",
        }
    )
    assert set(graph.arrows("search")) == {
        ("search.a", "search.b"), ("search.c", "search.a"), ("search.c", "search.b"),
        ("search.d", "search.a"),
    }  # fmt: skip


def test_the_face_of_a_package_is_a_room_where_it_has_an_arrow() -> None:
    graph = _graph({"search/__init__.py": "from search.a import x\n", "search/a.py": ""})
    assert graph.rooms("search") == {"search.__init__", "search.a"}
    assert floors(graph.rooms("search"), graph.arrows("search"))["search.__init__"] == 2


def test_the_rooms_of_a_cycle_share_a_floor() -> None:
    arrows = [("top", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("b", "ground"), ("alone", "alone")]
    assert cycles({"alone"}, arrows) == [["a", "b", "c"]]
    assert floors({"lonely"}, arrows) == {
        "top": 3, "a": 2, "b": 2, "c": 2, "ground": 1, "alone": 1, "lonely": 1,
    }  # fmt: skip


def test_cycles_of_rooms_are_found_where_no_module_imports_itself() -> None:
    house = House(
        {
            "search/a/x.py": "import search.b.y\n",
            "search/a/z.py": "",
            "search/b/y.py": "",
            "search/b/w.py": "import search.a.z\n",
        }
    )
    assert house.module_cycles() == []
    assert house.room_cycles() == ["search.a ⇄ search.b"]
    house = House({"search/a/x.py": "import search.a.z\n", "search/a/z.py": "from . import x\n"})
    assert house.module_cycles() == ["search.a.x ⇄ search.a.z"]
    assert house.room_cycles() == []


CODE = '''"""A docstring
of two lines."""

import os  # a comment behind code

# a comment
x = """two lines
of code"""
"""What x is."""


def f(
    a,
):
    """Says."""
    return f"{a} \\
        b"
'''


def test_lines_of_code_are_those_with_tokens_that_are_no_docstring() -> None:
    assert code_lines(CODE, ast.parse(CODE)) == {4, 7, 8, 12, 13, 14, 16, 17}


def test_sizes_are_counted_without_tests() -> None:
    body = "def long():\n" + "    x = 1\n" * 9 + "\n\nclass A:\n    def short(self): ...\n"
    house = House(
        {"search/a.py": body, "search/b.py": "", "tools/c.py": "x = 1\n", "tests/d.py": body * 9},
        readme="Ten words: one-two, `a_b` isn't 3.5 …",
    )
    assert list(house.functions()) == [(10, "search/a.py:long"), (1, "search/a.py:short")]
    assert dict(house.folders()) == {"search": 2, "tools": 1}
    figures = house.figures()
    assert figures["longest file, lines"] == 14
    assert figures["longest function, lines"] == 10
    assert figures["most files in one folder"] == 2
    assert figures["lines of code"] == 13
    assert figures["README, words"] == 9  # Ten words one two a_b isn t 3 5


def test_string_keys_are_reads_of_what_travels() -> None:
    text = (
        "import ray\n"
        "a = task['number'] + self._task['data']\n"
        "b = trial.config.get('repeat')\n"
        "result['x'] = new_config['y']\n"
        "task[name], task[0], other['z'], other.get('task'), os.environ.get('config')\n"
        "del config['w']\n"
    )
    expected = [
        "{}:2 self._task['data']", "{}:2 task['number']", "{}:3 trial.config.get('repeat')",
        "{}:4 new_config['y']",
    ]  # fmt: skip
    for file in ("search/ray_backend/worker.py", "search/worker.py"):
        assert House({file: text}).string_keys() == [each.format(file) for each in expected]
    # Files that don't know Ray, and those beside the backend once there is one, don't count.
    assert House({"search/a.py": text.replace("ray", "numpy")}).string_keys() == []
    both = House({"search/a.py": text, "search/ray_backend/b.py": ""})
    assert both.string_keys() == []


def test_what_is_above_a_bound_is_named() -> None:
    house = House({"search/a.py": "x = 1\n" * 291, "search/b.py": "x = 1\n" * 290}, "word " * 1101)
    assert exceeded(house) == [
        "longest file, lines: 291, bound 290: search/a.py 291.",
        "README, words: 1,101, bound 1,100.",
    ]


def test_tables_are_markdown() -> None:
    house = House(SEARCH, "one two")
    lines = table({"abc": house.figures(), "def": house.figures()}).splitlines()
    assert lines[0] == "| figure | abc | def | bound |"
    assert "| rooms in search/ | 5 | 5 | ≤ 20 |" in lines
    assert len(lines) == 2 + len(BOUNDS)
    because = "search.session.begin → search.ray_backend.tuner (Tuner)"
    row = f"| search.session (3) | search.ray_backend (2) | {because} |"
    assert row in arrow_table(house.graph).splitlines()


def test_every_figure_has_a_bound() -> None:
    assert set(House({}).figures()) == set(BOUNDS)


def test_a_commit_is_read_as_it_was_and_the_tree_as_it_is(tmp_path: Path) -> None:
    def git(*command: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *command], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "search").mkdir()
    (tmp_path / "README.md").write_text("one two", encoding="utf-8")
    (tmp_path / "search/a.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / ".gitignore").write_text("ignored.py\n", encoding="utf-8")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    (tmp_path / "README.md").write_text("one two three", encoding="utf-8")
    (tmp_path / "search/a.py").unlink()
    (tmp_path / "search/b.py").write_text("y = 2\n", encoding="utf-8")
    (tmp_path / "ignored.py").write_text("z = 3\n", encoding="utf-8")
    then, now = read_commit("HEAD", tmp_path), read_tree(tmp_path)
    assert (set(then.files), then.figures()["README, words"]) == ({"search/a.py"}, 2)
    assert (set(now.files), now.figures()["README, words"]) == ({"search/b.py"}, 3)


def test_an_unknown_commit_ends_with_gits_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["0123456789"]) == 1
    assert "0123456789" in capsys.readouterr().err
