"""The process that runs a search stays as it was, and is refused where it can't run one."""

import io
import os
import subprocess
import sys
import threading
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.errors import SearchError
from search.session.api.host import check_host, in_host, print_as_before

ROOT = Path(__file__).parents[4]


def python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60,
        env=os.environ | {"PYTHONPATH": ""} | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_worker_loads_neither_the_api_nor_the_session():
    code = (
        "import sys, search.ray_backend.worker\n"
        "print([m for m in sys.modules if m.startswith('search.session')])\n"
        "from search import Search\n"
        "print('search.session.api.search' in sys.modules, 'search.session.execute' in sys.modules)"
    )
    assert python(code).splitlines() == ["[]", "True True"]


def test_a_foreign_package_is_refused_with_what_a_notebook_can_do(tmp_path):
    (tmp_path / "datasets.py").write_text("", encoding="utf-8")
    begin = f"import sys; sys.path[:0] = [{str(tmp_path)!r}]\n"
    code = begin + (
        "from search.preflight import PreflightError\n"
        "try:\n    from search import Search\nexcept PreflightError as error:\n    print(error)"
    )
    refusal = python(code)
    assert refusal.startswith("`datasets` must be the folder in ")
    remedy = refusal.split("with `")[1].split("`")[0]
    assert (
        python(begin + remedy + "\nfrom search import Search; print(Search.__name__)") == "Search"
    )


def test_what_a_search_changes_is_restored(monkeypatch):
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", "a program.py", raising=False)
    before = dict(os.environ), list(sys.path), vars(main).get("__spec__"), main.__file__
    seen = io.StringIO()

    def change():
        report = print_as_before(print)
        with in_host(silent=True):
            os.environ["RAY_X"] = "1"
            del os.environ["PATH"]
            assert sys.path[0] == str(ROOT)
            assert not hasattr(main, "__file__")
            print("hidden")
            report("shown")
            raise ZeroDivisionError

    with redirect_stdout(seen), pytest.raises(ZeroDivisionError):
        change()
    after = dict(os.environ), list(sys.path), vars(main).get("__spec__"), main.__file__
    assert after == before
    assert seen.getvalue() == "shown\n"


def test_another_thread_and_a_ray_that_runs_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))
    caught = []

    def try_it():
        try:
            check_host()
        except SearchError as error:
            caught.append(error.errors)

    thread = threading.Thread(target=try_it, name="mine")
    thread.start()
    thread.join()
    assert len(caught[0]) == 2
    assert "but this is the thread 'mine'" in caught[0][0]
    assert "ray.shutdown()" in caught[0][1]
    with pytest.raises(SearchError, match="must start Ray itself"):
        check_host()
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    check_host()
