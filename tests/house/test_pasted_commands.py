"""Every command that is printed can be pasted, also where a run or a folder has blanks."""

import ast
import errno
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from common.cli import quote, quote_command
from common.files import describe_full_disk
from datasets.manifest import read_manifest
from datasets.registry import find_dataset
from results import export, importance
from results.analysis.final_run import read_final_run
from results.page.final.final_page import commands
from results.page.headline import make_headline
from results.page.run_data import read_run
from results.run_hints import resume_command
from results.store import RunStore
from search.config.command_line import resolve
from search.monitoring.plans.plan_text import describe_enlarged
from search.planning.option_errors import find_path_errors
from search.planning.plan import make_plan
from search.session.finish import write_final_report
from search.session.resume import find_run
from tests.datasets.test_node_copy import manifest
from tests.house.pages import ROOT
from tests.results.analysis.test_error_analysis import SEVEN
from tests.results.example_final import make_final
from tests.results.example_run import make_run
from tests.results.example_search import MANIFEST, RANGES, SIX, six
from tests.search.monitoring.test_summary import summarised
from tools.commands import COMMANDS
from trainables.final_model.best_config import read_best

RUN, DATA = Path("my runs") / "Ann's $(touch hacked) run; id && x", "my data > hacked"


def begun() -> Path:
    RunStore.create(RUN, {"name": RUN.name} | MANIFEST).close()
    return RUN


def message(call: Callable[..., object], *arguments: object) -> str:
    """The sentence of the error that a call raises."""
    with pytest.raises(Exception, match="python -m") as caught:
        call(*arguments)
    return str(caught.value)


def interrupted() -> str:
    place = {"out": RUN.parent, "name": RUN.name, "data": DATA, "space": "demo"}
    return summarised(RUN.parent, interrupted=True, **place)[1]


def ended() -> str:
    """The summary of a whole search, which names three commands."""
    place = {"out": RUN.parent, "name": RUN.name, "data": DATA, "time_budget": "1h"}
    return summarised(RUN.parent, tables={1: [0.4, 0.5], 0: [0.4, 0.5]}, **place)[1]


def enlarged() -> str:
    plan, _ = make_plan(
        resolve({"space": "demo", "dataset": "folder", "data": DATA, "source": "."})[0],
        resuming=False,
    )
    assert plan is not None
    return describe_enlarged(plan, manifest(image_size=48, source="/Ann's images"))


def exported(capsys: pytest.CaptureFixture[str]) -> str:
    six(RUN, options={"data": DATA})
    assert export.main([str(RUN)]) == 0
    return capsys.readouterr().out


def lacking(capsys: pytest.CaptureFixture[str]) -> str:
    make_run(RUN, RANGES, SIX, 4, MANIFEST)
    assert importance.main([str(RUN)]) == 0
    return capsys.readouterr().out


def unwritten() -> str:
    (six(RUN) / "report.html").mkdir()
    return write_final_report(RUN)


def taken() -> str:
    options, _ = resolve({"space": "demo", "out": str(RUN.parent), "name": RUN.name})
    (error,) = find_path_errors(options, "demo", begun(), "none", resuming=False)
    return error


PRINTED: dict[str, Callable[[pytest.CaptureFixture[str]], str]] = {
    "resume_command": lambda _: resume_command(RUN),
    "a run is there": lambda _: message(RunStore.create, begun(), MANIFEST),
    "a run of that name": lambda _: taken(),
    "no trial yet": lambda _: message(export.best_config, begun()),
    "too few trials": lacking,
    "exported": exported,
    "report": lambda _: "\n".join(
        make_headline(read_run(six(RUN, options={"data": DATA}))).commands
    ),
    "no report": lambda _: unwritten(),
    "interrupted": lambda _: interrupted(),
    "ended": lambda _: ended(),
    "final page": lambda _: "\n".join(commands(read_final_run(make_final(RUN / "final", SEVEN)))),
    "no best.yaml": lambda _: message(read_best, six(RUN) / "best.yaml"),
    "a folder": lambda _: message(read_best, six(RUN)),
    "no images": lambda _: message(read_manifest, Path(DATA) / "folder"),
    "small images": lambda _: enlarged(),
}


def commands_in(text: str) -> list[list[str]]:
    """The words of each command, which ends with a backtick, or with the line or sentence."""
    found = re.findall(r"`(python -m [^`]*)`|(python -m [^`\n]*?)\.?$", text, flags=re.MULTILINE)
    return [shlex.split(quoted or plain) for quoted, plain in found]


@pytest.mark.parametrize("printed", PRINTED)
def test_a_printed_command_is_read_as_it_is_meant(
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    found = commands_in(PRINTED[printed](capsys))
    assert found
    for _, _, module, *words in found:
        given = vars(COMMANDS[module]().parse_args(["1" if w == "N" else w for w in words]))
        named = {str(value) for value in given.values()}
        if module == "datasets.prepare":
            assert (given["name"], str(given["data"])) == ("folder", DATA)
        elif module == "search.run":
            assert (given["resume"], given["out"]) == (RUN.name, str(RUN.parent))
        else:
            assert named & {str(RUN), str(RUN / "final"), str(RUN / "best.yaml")}
        if module == "trainables.final":
            assert str(given["data"]) == DATA


def test_options_that_are_printed_alone_are_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = describe_full_disk(OSError(errno.ENOSPC, "full"), RUN)
    assert told is not None
    option, run, *_ = shlex.split(told[told.index("--resume") :].partition(": ")[0])
    assert (option, find_run(run, [])) == ("--resume", {"name": RUN.name, "out": str(RUN.parent)})
    monkeypatch.chdir(tmp_path)
    Path("my images").mkdir()
    with pytest.raises(Exception, match="with --source 'my images'"):
        find_dataset("my images")


def test_words_are_quoted_where_a_shell_needs_it() -> None:
    assert quote("--out", Path("a b"), 3, "it's") == "--out 'a b' 3 'it'\"'\"'s'"
    assert (
        quote_command("python -m search.run", "--resume", "first")
        == "python -m search.run --resume first"
    )
    assert quote_command("python -m trainables.final", data="data") == "python -m trainables.final"
    assert quote_command("python -m datasets.prepare", "folder", data=Path("my data")) == (
        "python -m datasets.prepare folder --data 'my data'"
    )


def test_no_command_is_printed_with_a_name_that_isn_t_quoted() -> None:
    """A command in the text of an f-string has no value behind it; `quote_command` makes those."""
    folders = ("common", "datasets", "results", "search", "trainables")
    files = [path for name in folders for path in (ROOT / name).rglob("*.py")]
    wrong = []
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for text, after in unquoted(node) if isinstance(node, ast.JoinedStr) else ():
                wrong.append(f"{path}: {text}{{{ast.unparse(after)}}}")
    assert [each for each in wrong if "results.published." not in each] == []
    assert len(files) > 200


def unquoted(node: ast.JoinedStr) -> list[tuple[str, ast.expr]]:
    """Each command that goes on with a value, with that value."""
    pairs = zip(node.values, node.values[1:], strict=False)
    return [
        (found[0], after)
        for text, after in pairs
        if isinstance(text, ast.Constant)
        and (found := re.search(r"(python -m |--resume )[^`:;]*$", str(text.value)))
    ]
