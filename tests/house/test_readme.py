"""Every command in README.md: fast, that it can be parsed; slow, that it runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from search.config.command_line import parse, resolve
from search.config.options import ACTIONS
from search.spaces import find_space, space_names

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
LINES = [line for kind, body in BLOCKS if kind == "sh" for line in body.splitlines()]
MODULES = [line.split()[2:] for line in LINES if line.startswith("python -m ")]
SMALL = ["--trials", "2", "--epochs", "2", "--set", "network=resnet10", "image_size=32",
         "batch_size=16", "--precision", "float32"]  # fmt: skip


def test_every_shell_line_is_of_a_kind_that_is_tested():
    kinds = ("python -m ", "make ", ". .venv/bin/activate")
    assert [line for line in LINES if not line.startswith(kinds)] == []
    assert len(MODULES) >= 8


def test_make_targets_exist():
    targets = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {line.split()[1] for line in LINES if line.startswith("make ")}
    assert named
    assert named <= targets


@pytest.mark.parametrize("words", [m for m in MODULES if m[0] == "search.run"], ids=" ".join)
def test_search_commands_are_parsed(words):
    given, unknown = parse(words[1:])
    for action in ACTIONS:
        given.pop(action, None)
    _, errors = resolve({"space": "demo"}, given)
    assert unknown + errors == []


def test_options_in_the_table_exist():
    flags = set(re.findall(r"^\| `(--.*?)` \|", TEXT, flags=re.MULTILINE))
    assert len(flags) >= 5
    for words in flags:
        given, unknown = parse(words.split())
        for action in ACTIONS:
            given.pop(action, None)
        assert unknown + resolve({"space": "demo"}, given)[1] == []


def test_the_table_of_spaces_has_each_with_its_data_and_published_figures():
    rows = re.findall(
        r"^\| `python -m search.run --space (\w+)` \| (.*)$", TEXT, flags=re.MULTILINE
    )
    assert sorted(name for name, _ in rows) == space_names()
    for name, row in rows:
        space = find_space(name)
        assert f"`{space.dataset}`" in row
        assert ("ImageNet weights" in row) == (space.baseline.weights == "imagenet")
        shown = row.rpartition(" | ")[2].removesuffix(" |")
        assert shown == (figures_of(space.published) if space.published else "–")


def figures_of(published):
    """As the table words them, in per cent."""
    fields = {"train": "train_top1", "val": "val_top1", "top-5": "val_top5", "test": "test_top1"}
    values = {word: getattr(published, name) for word, name in fields.items()}
    return ", ".join(f"{w} {100 * v:.1f}" for w, v in values.items() if v is not None)


def test_the_space_in_the_text_is_one(tmp_path):
    from search.study.proposer import Proposer

    body = next(body for kind, body in BLOCKS if kind == "python" and "SPACE" in body)
    (tmp_path / "my_space.py").write_text(body)
    configs, ranges = Proposer(find_space(str(tmp_path / "my_space.py")), {}, 0).preview(10)
    assert set(ranges) == {"lr", "cutout"}
    assert configs[0].stem == "small"


def run(words, log):
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=500,
    )
    log.append(" ".join(words))
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_every_command_runs(tmp_path, tiny_zip, tiny_data):
    """In the order of the text, on small images and with small numbers added."""
    log: list[str] = []
    pictures = tmp_path / "pictures"
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = pictures / split / name
            folder.mkdir(parents=True)
            for number in range(40):
                (folder / f"{number}.jpg").write_bytes(picture(len(name + split) + number))
    data, out = ["--data", str(tmp_path / "data")], ["--out", str(tmp_path)]
    picture_of_one = str(pictures / "test" / "cat" / "0.jpg")
    places = {
        "tiny-imagenet-200.zip": str(tiny_zip), "ROOT": str(pictures), "IMAGE": picture_of_one,
        "s3://bucket/runs": str(tmp_path / "storage"),
    }  # fmt: skip
    for words in MODULES:
        module, *rest = [places.get(word, word) for word in words if word != "runs/second"]
        rest = [word.replace("runs/first", str(tmp_path / "first")) for word in rest]
        if (
            "--address" in rest
        ):  # clusters have a test of their own: tests/search/ray_backend/test_ray_cluster.py
            at = rest.index("--address")
            del rest[at : at + 2]
        if module == "search.run" and "--resume" in rest:
            fewer = {"+20": "+4", "60": "3"}
            rest = [fewer.get(word, word) for word in rest] + out
        elif module == "search.run" and "--list" not in rest:
            chosen = any(word.startswith("network=") for word in rest)
            small = [word for word in SMALL if not (chosen and word == "network=resnet10")]
            rest += [*data, *out, "--weights", "none", *small]
            rest += ["--name", "own" if "folder" in rest else "first"] if "--source" in rest else []
        elif module == "trainables.final" or module.startswith("datasets."):
            rest += data
        printed = run([module, *rest], log)
        if module == "trainables.final":
            assert "test top-1" in printed
    assert len(log) == len(MODULES)
    assert (tmp_path / "first" / "final" / "model.pt").exists()
    assert (tmp_path / "first" / "final" / "export" / "model.onnx").exists()
    assert (tmp_path / "first" / "report.html").exists()
    assert (tmp_path / "comparison.html").exists()


def picture(seed: int) -> bytes:
    import io

    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()
