"""The generated pages, as the code makes them; completion in bash; and what guides say of code."""

import os
import re
import subprocess
from dataclasses import fields

import pytest

from search.config.command_line import parser
from search.config.options import ACTIONS, SearchOptions
from search.planning.space_check import check_space
from search.preflight import ROOMS
from search.spaces import find_space, space_names
from search.study.proposer import Proposer
from tests.house.pages import GUIDES, ROOT, blocks, tables
from tools.commands import COMMANDS
from tools.make_completion import SCRIPT, script
from tools.make_reference import PAGE, page

REMEDY = "is older than the code: type `make docs`"


def test_the_reference_is_that_of_the_code():
    assert PAGE.read_text(encoding="utf-8") == page(), f"{PAGE} {REMEDY}"


def test_the_completion_is_that_of_the_code():
    assert SCRIPT.read_text(encoding="utf-8") == script(), f"{SCRIPT} {REMEDY}"


def test_every_command_is_in_the_reference():
    """That is, each module that is started and makes a command line."""
    made = set()
    for path in [path for room in ROOMS for path in (ROOT / room).glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        if "__main__" in text and re.search(r"\b(Argument)?Parser\(", text):
            made.add(".".join(path.relative_to(ROOT).with_suffix("").parts))
    # The parsers of these are in search.config, search.monitoring and search.session.
    elsewhere = {"search.run", "search.spaces", "search.steer"}
    assert made == set(COMMANDS) - elsewhere


def test_help_lists_exactly_the_options_that_are_declared(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    listed = re.findall(r"^  (?:-h, )?--([\w-]+)", capsys.readouterr().out, flags=re.MULTILINE)
    declared = {f.name for f in fields(SearchOptions)} | set(ACTIONS)
    assert sorted(listed) == sorted({name.replace("_", "-") for name in declared} | {"help"})


def test_the_search_names_nothing_that_opens_test():
    """As protocol.md says; that nodes get no test images is tests/datasets/test_copies.py's."""
    opening = re.compile(r"open_final_data|FinalData|TEST_FILE|test\.beton")
    assert opening.search((ROOT / "datasets" / "access.py").read_text(encoding="utf-8"))
    files = (ROOT / "search").rglob("*.py")
    assert [path.name for path in files if opening.search(path.read_text(encoding="utf-8"))] == []


def completed(*words):
    """What bash offers for the last of these words."""
    code = f"""source {SCRIPT}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _project_python; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(
        ["bash", "--norc", "-c", code, "bash", *words],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
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
    assert completed("python", "-m", "datasets.prepare", "dem") == ["demo"]
    assert completed(*run, "--dataset", "folder", ":", "no-such-") == []
    assert completed("python", "sea") == []  # no command of ours: left to file names


def typed_into_bash(keys, folder):
    """What an interactive bash, in a terminal, shows in answer to these keys."""
    import pty

    typed = f"cd {folder}; source {SCRIPT}; PS1=\n{keys}\nexit\n"
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
    return shown


def test_the_tab_key_completes_in_a_shell():
    shown = typed_into_bash("python -m search.run --spa\tresnet50_\t\x01printf '<%s>' \x05", ROOT)
    assert b"<python><-m><search.run><--space><resnet50_cifar100>" in shown


def test_the_tab_key_completes_names_of_own_images_across_the_colon(tmp_path):
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "run.py").touch()
    for name in ("folder", "folder-birds", "folder-flowers"):
        (tmp_path / "data" / name).mkdir(parents=True)
    keys = "python -m datasets.prepare folder:fl\t--sk\t\x01printf '<%s>' \x05\n"
    keys += "python -m search.run --dataset folder:\x1b*\x01printf '<%s>' \x05"
    shown = typed_into_bash(keys, tmp_path)
    assert b"<datasets.prepare><folder:flowers><--skip-" in shown
    assert b"<--dataset><folder:birds><flowers>" in shown  # M-* inserts all completions


def test_the_table_of_spaces_has_each_with_its_data_and_published_figures():
    rows = tables(GUIDES / "searching.md", "command", "network and data", "published")
    shown = {row[0].strip("`").removeprefix("python -m search.run --space "): row for row in rows}
    assert sorted(shown) == space_names()
    for name, (_, data, figures) in shown.items():
        space = find_space(name)
        assert f"`{space.dataset}`" in data
        assert ("ImageNet weights" in data) == (space.baseline.weights == "imagenet")
        assert figures == (figures_of(space.published) if space.published else "–")


def figures_of(published):
    """As the table words them, in per cent."""
    fields = {"train": "train_top1", "val": "val_top1", "top-5": "val_top5", "test": "test_top1"}
    values = {word: getattr(published, name) for word, name in fields.items()}
    return ", ".join(f"{w} {100 * v:.1f}" for w, v in values.items() if v is not None)


def test_the_space_of_several_networks_in_the_text_is_sound(tmp_path):
    found = [body for body in blocks(GUIDES / "your-own.md", "python") if "DEPTHS" in body]
    (tmp_path / "networks.py").write_text(found[0], encoding="utf-8")
    report = check_space(str(tmp_path / "networks.py"))
    assert (len(found), report.errors, report.notes) == (1, [], [])
    assert [each.network for each in report.networks] == [
        "efficientnet_lite0", "resnet18", "resnet10"
    ]  # fmt: skip


def test_the_space_in_the_text_is_one(tmp_path):
    body = next(body for body in blocks(GUIDES / "your-own.md", "python") if "SPACE" in body)
    (tmp_path / "my_space.py").write_text(body, encoding="utf-8")
    configs, ranges = Proposer(find_space(str(tmp_path / "my_space.py")), {}, 0).preview(10)
    assert set(ranges) == {"lr", "cutout"}
    assert configs[0].stem == "small"
