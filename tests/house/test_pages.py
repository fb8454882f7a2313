"""Every command on every page: fast, that it is known and can be parsed; slow, that it runs."""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.config.command_line import resolve
from search.config.options import ACTIONS
from search.preflight import ROOMS
from tests.conftest import TINY_CLASSES
from tests.house.pages import (
    GUIDES,
    MAKERS,
    NOT_RUN,
    PAGES,
    ROOT,
    WITHOUT,
    blocks,
    lines,
    spans,
    tables,
    why_not_run,
)
from tools.commands import COMMANDS

LINES = [(path, line) for path in PAGES for line in lines(path)]
SPANS = [(path, span) for path in PAGES for span in spans(path) if path.name != "reference.md"]
INLINE = [(path, s) for path, s in SPANS if s.startswith("python -m ") and "…" not in s]
COMMAND_LINES = [
    (path, line)
    for path, line in [*LINES, *INLINE]
    if line.startswith("python -m ") and not line.startswith(MAKERS) and not why_not_run(line)
]


def name_of(value: object) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)


def test_the_pages_are_those_of_the_guides():
    """So that a page which is moved takes its tests along."""
    names = {path.name for path in PAGES}
    assert {"README.md", "SECURITY.md", "CONTRIBUTING.md", "glossary.md"} <= names
    assert len(list(GUIDES.glob("*.md"))) >= 10
    assert len(LINES) >= 60


def test_every_line_to_type_is_run_or_named_with_a_reason():
    kinds = ("python -m ", "source docs/completion.bash")
    unknown = [line for _, line in LINES if not line.startswith(kinds) and not why_not_run(line)]
    assert unknown == []


def test_every_reason_is_needed():
    for begin in NOT_RUN:
        assert any(line.startswith(begin) for _, line in LINES), begin
    for flag in WITHOUT:
        assert any(flag in line.split() for _, line in LINES), flag
    files = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    reasons = " ".join([*NOT_RUN.values(), *WITHOUT.values()])
    named = set(re.findall(r"test_\w+\.py", reasons))
    assert len(named) >= 6
    assert named <= files


@pytest.mark.parametrize(("path", "line"), COMMAND_LINES, ids=name_of)
def test_commands_are_parsed(path, line):
    """With all that stands there, also in a sentence; N is a number."""
    module, *words = ["1" if word == "N" else word for word in shlex.split(line)[2:]]
    if words in ([], ["--help"]):  # a sentence about the command
        assert module in COMMANDS
        return
    given = vars(COMMANDS[module]().parse_args(words))
    if module == "search.run":
        options = {key: value for key, value in given.items() if key not in ACTIONS}
        assert resolve({"space": "demo"}, options)[1] == []


def test_options_in_tables_are_parsed():
    rows = [row for path in PAGES for row in tables(path, "option", "meaning")]
    assert len(rows) >= 15
    for words, _ in rows:
        given = vars(COMMANDS["search.run"]().parse_args(shlex.split(words.replace("`", ""))))
        options = {key: value for key, value in given.items() if key not in ACTIONS}
        assert resolve({"space": "demo"}, options)[1] == [], words


def test_options_in_sentences_are_some_commands():
    known = {
        flag
        for make in COMMANDS.values()
        for action in make()._actions
        for flag in action.option_strings
    }
    named = {word for _, span in SPANS if span.startswith("--") for word in span.split()}
    named = {word for word in named if word.startswith("--")}
    assert len(named) >= 25
    assert named <= known


def test_make_targets_exist():
    targets = set(
        re.findall(
            r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE
        )
    )
    typed = [line for _, line in LINES if line.startswith("make ")]
    typed += [span for _, span in SPANS if span.startswith("make ")]
    named = {word for line in typed for word in line.partition("#")[0].split()[1:]}
    assert {"search", "test", "setup"} <= named <= targets


def test_extras_modules_and_files_that_are_named_exist():
    """Of the lines that no test runs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {
        found for _, line in LINES for found in re.findall(r"pip install '\.\[(\w+)\]'", line)
    }
    assert {"timm", "lite", "export", "mlflow", "wandb"} <= extras
    assert extras <= set(project["optional-dependencies"])
    for _, line in LINES:
        if line.startswith("python -m tests."):
            assert (ROOT / f"{line.split()[2].replace('.', '/')}.py").exists(), line
        if line.startswith("cp "):
            assert (ROOT / line.split()[1]).exists(), line
        if line.startswith(("ray up ", "ray attach ")):
            assert (ROOT / line.split()[2]).exists(), line


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(path):
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    for link in (link for link in links if "://" not in link):
        name, _, heading = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        if heading:
            titles = re.findall(
                r"^#+ (.*)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE
            )
            assert heading in {anchor(title) for title in titles}, link


def anchor(title):
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_every_guide_is_linked_from_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in [*GUIDES.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "SECURITY.md"]:
        assert f"]({path.relative_to(ROOT)})" in text, path.name


SMALL = (
    "--trials 2 --epochs 2 --set network=resnet10 image_size=32 batch_size=16 "
    "--precision float32 --weights none"
)
"""Added to every new search, in place of its own options; what it fixes by --set stays."""

SMALL_ON = {"tutorial.md": "--trials 2 --epochs 1 --set batch_size=8 --precision float32"}
"""The same on pages that show a search with the weights of a package."""

FEWER = {"+20": "+4", "60": "3", "+16": "+2"}
"""Numbers of trials and epochs in a search that goes on."""

LEFT = {
    "README.md": ("runs/first/best.yaml", "runs/first/report.html", "runs/first/final/model.pt"),
    "choosing-a-winner.md": ("runs/comparison.html", "runs/first/finalists.jsonl"),
    "cluster.md": ("bucket/runs/first/run.tar",),
    "final-model.md": (
        "runs/first/final/final.json", "runs/first/final/repeat-3/final.json",
        "runs/first/final/export/model.onnx", "runs/first/final/MODEL_CARD.md",
        "runs/first/more/final.json",
    ),
    "monitoring.md": ("runs/first/tensorboard",),
    "tutorial.md": (
        "runs/mine/best.yaml", "runs/mine/report.html", "runs/mine/final/model.pt",
        "runs/mine/final/final.json",
    ),
    "your-own.md": ("data/folder/manifest.json",),
}  # fmt: skip
"""What must be there when a page's commands have run."""


def runs_here(path: Path) -> bool:
    return any(not why_not_run(line) for line in lines(path))


@pytest.fixture(scope="module")
def kit(tmp_path_factory, tiny_zip):
    """A copy of the project's folder, with the images, runs and bucket that pages name."""
    home = tmp_path_factory.mktemp("kit") / "tiny-imagenet-search"
    for name in (*ROOMS, "docs"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", home)
    shutil.copy(tiny_zip, home / "tiny-imagenet-200.zip")
    write_pictures(home / "photos", ("goldfish", "koala"), 30)
    for split in ("train", "test"):
        write_pictures(home / "ROOT" / split, ("cat", "dog"), 40)
        write_pictures(home / "FLOWERS" / split, ("daisy", "tulip"), 40)
        write_pictures(home / "MORE" / split, TINY_CLASSES, 40)
    shutil.copy(home / "ROOT" / "test" / "cat" / "000.jpg", home / "IMAGE")
    unlabelled = home / "tiny-imagenet-200" / "test" / "images"
    unlabelled.mkdir(parents=True)
    for number in range(3):
        (unlabelled / f"test_{number}.JPEG").write_bytes(picture(number))
    run("python -m search.run --space resnet50 --source tiny-imagenet-200.zip --name first", home)
    run("python -m trainables.final --config runs/first/best.yaml", home)
    shutil.copytree(home / "runs" / "first", home / "runs" / "second")
    shutil.copytree(home / "data", home / "bucket" / "data")
    return home


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", [path for path in PAGES if runs_here(path)], ids=name_of)
def test_every_command_of_a_page_runs(path, kit, tmp_path):
    """In the order of the text, in one copy of the project's folder, with small numbers."""
    home = tmp_path / "tiny-imagenet-search"
    shutil.copytree(kit, home, symlinks=True)
    for kind, block in blocks_in_order(path):
        if kind != "sh":
            run(block if kind == "bash" else f"python -c {shlex.quote(block)}", home)
            continue
        for line in block.splitlines():
            if why_not_run(line):
                continue
            printed = run(line, home, SMALL_ON.get(path.name, SMALL))
            if "trainables.final " in line:
                assert "test top-1" in printed
    for name in LEFT.get(path.name, ()):
        assert (home / name).exists(), name
    for page in (home / "results" / "published").glob("*.md"):
        assert page.read_text(encoding="utf-8") == (
            ROOT / "results" / "published" / page.name
        ).read_text(encoding="utf-8")


def blocks_in_order(path: Path) -> list[tuple[str, str]]:
    """(kind, body) of a page's blocks to type; of Python those that read a run."""
    kinds = {body: kind for kind in ("sh", "bash", "python") for body in blocks(path, kind)}
    return [
        (kinds[body], body)
        for body in blocks(path, "sh", "bash", "python")
        if kinds[body] != "python" or "from results import" in body
    ]


def run(line: str, home: Path, small: str = SMALL) -> str:
    """What a line prints in `home`, made small; it has to end well."""
    if line.startswith("python -m "):
        line = shlex.join(made_small(shlex.split(line), home, small))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", line],
        cwd=home,
        env=os.environ | {"PATH": path, "PYTHONPATH": ""},
        capture_output=True,
        encoding="utf-8",
        timeout=500,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def made_small(words: Sequence[str], home: Path, small: str) -> list[str]:
    """The command with small numbers, a folder in place of the bucket, and room for what it makes.

    A run or a model of the name that it makes is removed, as a reader wouldn't have it yet.
    """
    words = [re.sub(r"^s3://bucket\b", str(home / "bucket"), w, flags=re.IGNORECASE) for w in words]
    for flag in WITHOUT:
        if flag in words:
            at = words.index(flag)
            del words[at : at + 2]
    module = words[2]
    if module == "search.run" and "--resume" in words:
        return [FEWER.get(word, word) for word in words]
    if module == "search.run" and "--list" not in words:
        if "--name" in words:
            shutil.rmtree(home / "runs" / words[words.index("--name") + 1], ignore_errors=True)
        for flag in re.findall(r"--(?!set)\S+", small):
            if flag in words:
                at = words.index(flag)
                del words[at : at + 2]
        own = {word.partition("=")[0] for word in words if "=" in word}
        return words + [w for w in small.split() if "=" not in w or w.partition("=")[0] not in own]
    if module == "trainables.final" and "--repeats" not in words:
        model = home / Path(words[words.index("--config") + 1]).parent / "final"
        shutil.rmtree(model, ignore_errors=True)
    return words


def write_pictures(folder: Path, classes: Sequence[str], count: int) -> None:
    """`count` images of noise in a folder for each class, no two of them alike."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for image in range(count):
            (folder / name / f"{image:03}.jpg").write_bytes(picture(1000 * number + image))


def picture(seed: int) -> bytes:
    """A JPEG of noise, 50 × 40 pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()
