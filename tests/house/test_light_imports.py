"""`--help`, `--dry-run` and the readers of finished runs stay quick: they load nothing heavy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "torchvision", "ray", "ffcv", "numba", "cv2"}
LIGHT = [
    "search/preflight.py",
    "search/config/options.py",
    "search/run.py",
    "trainables/config.py",
    "trainables/catalog.py",
    "trainables/export.py",
    "trainables/final.py",
    "trainables/predict.py",
    "datasets/prepare.py",
    "datasets/list.py",
    "results/*.py",
    "results/page/*.py",
    "results/analysis/*.py",
    "common/*.py",
    "tools/*.py",
]

# Imports one module after the other and says which heavy ones each of them brought.
SCRIPT = """
import importlib, json, sys
brought = {}
for name in sys.argv[2:]:
    before = set(sys.modules)
    importlib.import_module(name)
    heavy = set(json.loads(sys.argv[1])) & (set(sys.modules) - before)
    if heavy:
        brought[name] = sorted(heavy)
print(json.dumps(brought))
"""


def heavy_imports(modules: list[str], root: Path = ROOT) -> dict[str, list[str]]:
    """The heavy packages that each module is the first to load, in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(sorted(HEAVY)), *modules],
        cwd=root,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    return dict(json.loads(done.stdout))


def test_light_modules_load_nothing_heavy() -> None:
    files = [path.relative_to(ROOT) for pattern in LIGHT for path in sorted(ROOT.glob(pattern))]
    modules = [".".join(file.with_suffix("").parts) for file in files if file.name[0] != "_"]
    assert {"search.preflight", "trainables.config", "results.records"} <= set(modules)
    assert heavy_imports(modules) == {}


def test_a_heavy_import_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text("", encoding="utf-8")
    (tmp_path / "light.py").write_text("import json\n", encoding="utf-8")
    (tmp_path / "sly.py").write_text("import light\nimport numba\n", encoding="utf-8")
    assert heavy_imports(["light", "sly"], tmp_path) == {"sly": ["numba"]}


@pytest.mark.parametrize(
    "command",
    [
        "search.run --help",
        "search.run --list",
        "search.run --space demo --dry-run",
        "search.preflight",
        "search.simulate --help",
        "datasets.prepare --help",
        "results.export --help",
        "results.importance --help",
        "results.runs --help",
        "results.show --help",
        "results.annotate --help",
        "results.report --help",
        "results.compare --help",
        "results.final --help",
        "trainables.final --help",
        "trainables.export --help",
        "trainables.predict --help",
    ],
)
def test_commands_that_only_tell_load_nothing_heavy(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *command.split()],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    # One line a module on stderr: «import time: SELF | CUMULATIVE | NAME».
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in loaded or "tomllib" in loaded
    assert loaded & HEAVY == set()
