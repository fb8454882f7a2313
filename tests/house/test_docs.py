"""The pages in docs/: as generated from the code, with links that lead somewhere, and commands."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from search.config.command_line import parser, resolve
from search.config.options import ACTIONS, SearchOptions
from search.preflight import ROOMS
from tests.house.test_readme import picture
from tools.commands import COMMANDS
from tools.make_completion import SCRIPT, script
from tools.make_reference import PAGE, page

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
WRITTEN = [ROOT / "docs" / name for name in ("tutorial.md", "cluster.md", "protocol.md")]
REMEDY = "is older than the code: type `make docs`"


def blocks(path, *kinds):
    """The bodies of a page's code blocks of these kinds."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [body for kind, body in found if kind in kinds]


LINES = [(path, line) for path in WRITTEN for b in blocks(path, "sh") for line in b.splitlines()]
PYTHON = [(path.name, line.split()[2:]) for path, line in LINES if line.startswith("python -m ")]


def test_the_reference_is_that_of_the_code():
    assert PAGE.read_text() == page(), f"{PAGE} {REMEDY}"


def test_the_completion_is_that_of_the_code():
    assert SCRIPT.read_text() == script(), f"{SCRIPT} {REMEDY}"


def test_every_command_is_in_the_reference():
    """That is, each module that is started and makes a command line."""
    made = set()
    for path in [path for room in ROOMS for path in (ROOT / room).glob("*.py")]:
        text = path.read_text()
        if "__main__" in text and re.search(r"\b(Argument)?Parser\(", text):
            made.add(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert made == set(COMMANDS) - {"search.run"}  # whose parser is that of search.config.options


def test_help_lists_exactly_the_options_that_are_declared(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    listed = re.findall(r"^  (?:-h, )?--([\w-]+)", capsys.readouterr().out, flags=re.MULTILINE)
    declared = {f.name for f in fields(SearchOptions)} | set(ACTIONS)
    assert sorted(listed) == sorted({name.replace("_", "-") for name in declared} | {"help"})


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(path):
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text())
    for link in (link for link in links if "://" not in link):
        name, _, heading = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), flags=re.MULTILINE)
            assert heading in {anchor(title) for title in titles}, link


def anchor(title):
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_the_search_names_nothing_that_opens_test():
    """As protocol.md says; that nodes get no test images is tests/datasets/test_node_copy.py's."""
    opening = re.compile(r"open_final_data|FinalData|TEST_FILE|test\.beton")
    assert opening.search((ROOT / "datasets" / "access.py").read_text())
    files = (ROOT / "search").rglob("*.py")
    assert [path.name for path in files if opening.search(path.read_text())] == []


def test_every_line_to_type_is_of_a_kind_that_is_known():
    kinds = ("python -m ", "make setup", ". .venv/bin/activate", "source docs/completion.bash",
             "ray ", "RAY_AUTH_MODE=token ray ", "pip install boto3", "aws s3 cp ")  # fmt: skip
    assert [line for _, line in LINES if not line.startswith(kinds)] == []
    assert len(PYTHON) >= 10


@pytest.mark.parametrize(("name", "words"), PYTHON, ids=lambda value: " ".join(value))
def test_commands_are_parsed(name, words):
    module, *rest = words
    given = vars(COMMANDS[module]().parse_args(rest))
    if module == "search.run":
        options = {key: value for key, value in given.items() if key not in ACTIONS}
        assert resolve({"space": "demo"}, options)[1] == []


def completed(*words):
    """What bash offers for the last of these words."""
    code = f"""source {SCRIPT}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _project_python; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(
        ["bash", "--norc", "-c", code, "bash", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.split()


def test_bash_offers_options_spaces_datasets_and_commands(tmp_path):
    run = ("python", "-m", "search.run")
    assert completed(*run, "--spa") == ["--space"]
    assert completed(*run, "--space", "resnet1") == ["resnet18", "resnet18_scratch"]
    assert completed(*run, "--dataset", "tiny") == ["tiny-imagenet", "tiny-imagenet-20"]
    options = {"--" + f.name.replace("_", "-") for f in fields(SearchOptions)}
    assert options < set(completed(*run, "--"))
    assert completed("python3", "-m", "results.rep") == ["results.report"]
    assert completed("python", "-m", "datasets.prepare", "fol") == ["folder"]
    assert completed("python", "sea") == []  # no command of ours: left to file names


def test_the_tab_key_completes_in_a_shell(tmp_path):
    """What readline makes of the keys, in a terminal."""
    import pty

    typed = (
        f"cd {ROOT}; source docs/completion.bash; PS1=\n"
        "python -m search.run --spa\tresnet50_\t\x01printf '<%s>' \x05\nexit\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="dumb", INPUTRC="/dev/null")
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    os.write(terminal, typed.encode())
    shown = b""
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
    except OSError:  # Linux's way to say that the other end is closed
        pass
    assert os.waitpid(pid, 0)[1] == 0
    assert b"<python><-m><search.run><--space><resnet50_cifar100>" in shown


SHOWN = "--trials 8 --epochs 4"
SMALLER = "--trials 2 --epochs 1 --set batch_size=8 --precision float32"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_command_of_the_tutorial_runs(tmp_path):
    """In a copy of the project's folder, on fewer pictures and with fewer trials."""
    home = tmp_path / "tiny-imagenet-search"
    for name in ("search", "trainables", "datasets", "results", "common", "tools"):
        shutil.copytree(ROOT / name, home / name)
    shutil.copy(ROOT / "pyproject.toml", home)
    for name in ("goldfish", "koala"):
        (home / "photos" / name).mkdir(parents=True)
        for number in range(30):
            pixels = picture(len(name) * 100 + number)
            (home / "photos" / name / f"{number:03}.jpg").write_bytes(pixels)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    printed = ""
    # Without the first block: what `make setup` brings is there.
    for block in blocks(ROOT / "docs" / "tutorial.md", "sh", "bash")[1:]:
        done = subprocess.run(
            ["bash", "-e", "-c", block.replace(SHOWN, SMALLER)],
            cwd=home,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert done.returncode == 0, block + done.stdout + done.stderr
        printed += done.stdout
    assert "test top-1" in printed
    for name in ("best.yaml", "report.html", "final/model.pt", "final/final.json"):
        assert (home / "runs" / "mine" / name).exists()
