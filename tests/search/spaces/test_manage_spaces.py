"""`python -m search.spaces`: a space of one's own, what a check finds in it, and the list."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import search.spaces
from search.monitoring.plans.manage_spaces import main
from search.monitoring.plans.space_text import SCHEMA
from search.planning.space_check import DRAWN, check_space
from search.planning.space_file import field_meanings
from search.planning.space_walk import walk_configurations
from search.run import main as run
from search.spaces import find_space, space_names
from search.study.proposer import Proposer
from search.study.searched_ranges import digest_of
from tests.search.space_of_networks import PRETRAINED, TEXT, write_networks
from trainables.config import TrialConfig

ROOT = Path(__file__).parents[3]
HEAD = "from search.space import Prior, Space\nfrom trainables.config import TrialConfig\n"


def write(folder: Path, suggest: str, baseline: str = "", more: str = "") -> str:
    """Writes a space for ResNet-10 on the demo images, and returns its path."""
    path = folder / "mine.py"
    body = "".join(f"    {line}\n" for line in suggest.strip().splitlines())
    path.write_text(
        f"{HEAD}\n\ndef suggest(trial):\n{body}\n\nSPACE = Space(summary='mine', dataset='demo', "
        f"suggest=suggest, baseline=TrialConfig(network='resnet10'{baseline}){more})\n",
        encoding="utf-8",
    )
    return str(path)


@pytest.mark.parametrize("like", space_names())
def test_a_new_space_searches_what_the_other_one_does(
    like: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "own", "--like", like]) == 0
    made, other = find_space("own.py"), find_space(like)
    assert (made.baseline, made.dataset, made.published) == (other.baseline, other.dataset, None)
    first, second = (Proposer(each, {}, 0).probe() for each in (made, other))
    assert digest_of(first) == digest_of(second)
    assert [p.params for p in first] == [p.params for p in second]
    assert made.prior == other.prior
    lines = (tmp_path / "own.py").read_text(encoding="utf-8").splitlines()
    assert max(map(len, lines)) <= 100
    for name in first[0].params:
        assert any(line.strip().startswith(f"# {name}: ") for line in lines), name
    assert check_space("own.py").errors == []


SOURCES = {
    "constants": """
from __future__ import annotations

from dataclasses import dataclass
from math import log2 as bits

from search.space import Prior, Published, Space
from search.spaces import resnet18
from search.spaces._ranges import augmentation, optimizer
from trainables.config import TrialConfig

# Widths of the head.
WIDTHS = [0, 256]
WIDTHS += [512]
for _more in (1024, 2048):
    WIDTHS.append(_more)
LOW, HIGH = 1e-4, 1e-2
BASE = resnet18.SPACE.baseline


@dataclass
class Steps:
    \"\"\"Holds a step.\"\"\"

    step: float = 0.25


def _half(x: float | Unknown):
    return x / bits(4)


def suggest(trial):
    from ._ranges import augmentation as more
    values = optimizer(trial, lr=(LOW, HIGH), momentum=(0.5, 0.95))
    values["head_width"] = trial.suggest_categorical(name="head_width", choices=WIDTHS)
    values["dropout"] = trial.suggest_float("dropout", 0.0, _half(1.0), step=Steps().step)
    return values | more(trial) | augmentation(trial)


BELIEFS = {"lr": Prior(2e-3, 0.75), "optimizer": Prior("sgd", 0.5), "flip": Prior(True, 1)}
SPACE = Space(summary="s", dataset="demo", baseline=BASE, suggest=suggest, prior=BELIEFS,
              published=Published(note="none"))
""",
    "lambda": """
from search.space import Space
from trainables.config import TrialConfig

LR = {"low": 1e-4, "high": 1e-2}
SPACE: Space = Space(
    summary="s",
    dataset="demo",
    baseline=TrialConfig(network="resnet10", lr=1e-3),
    suggest=lambda trial: {
        "lr": trial.suggest_float("lr", **LR),
    },
)
""",
    "replaced": """
from dataclasses import replace

from search.spaces import demo

SPACE = replace(demo.SPACE, summary="s")
""",
    "names": """
from search.space import Space
from search.spaces._ranges import augmentation as common
from trainables.config import TrialConfig


def augmentation(trial):
    return {**common(trial), "lr": trial.suggest_float("lr", 1e-4, 1e-2)}


SPACE = Space(summary="s", dataset="demo", suggest=augmentation,
              baseline=TrialConfig(network="resnet10", lr=1e-3))
""",
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_new_space_takes_whatever_its_source_needs(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"source_{kind}"
    (tmp_path / f"{source}.py").write_text(SOURCES[kind], encoding="utf-8")
    monkeypatch.setattr("search.spaces.__path__", [*search.spaces.__path__, str(tmp_path)])
    assert main(["new", "own", "--like", source, "--out", str(tmp_path / "new")]) == 0
    path = tmp_path / "new" / "own.py"
    made, other = find_space(str(path)), find_space(source)
    assert (made.baseline, made.prior) == (other.baseline, other.prior)
    first, second = (Proposer(each, {}, 3) for each in (made, other))
    assert [p.params for p in first.probe()] == [p.params for p in second.probe()]
    assert first.preview(10) == second.preview(10)
    assert "BASE =" not in path.read_text(encoding="utf-8")  # only the source's baseline needs it
    found = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select=F", "--no-cache", str(path)],
        capture_output=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    wrong = [line for line in found.stdout.splitlines() if re.match(r"[A-Z]+\d+ ", line)]
    assert wrong == (["F821 Undefined name `Unknown`"] if kind == "constants" else [])


def test_a_new_space_works_at_once_and_never_replaces_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my own"
    assert main(["new", "first.py", "--out", str(folder)]) == 0
    path = folder / "first.py"
    shown = capsys.readouterr().out
    assert f"python -m search.spaces check '{path}'" in shown
    assert f"python -m search.run --space '{path}' --dry-run" in shown
    words = ["--space", str(path), "--dry-run", "--out", str(tmp_path / "runs")]
    assert run([*words, "--data", str(tmp_path / "data")]) == 0
    assert "Like demo: ResNet-10" in capsys.readouterr().out
    before = path.read_bytes()
    assert main(["new", "first", "--out", str(folder), "--like", "resnet50"]) == 2
    assert "must not replace a file, but" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_every_field_has_a_meaning_in_words() -> None:
    meanings = field_meanings()
    assert set(meanings) == {field.name for field in fields(TrialConfig)}
    assert all(len(each) > 8 and not each.endswith(".") for each in meanings.values())


@pytest.mark.parametrize("name", space_names())
def test_the_project_s_spaces_are_sound(name: str) -> None:
    assert check_space(name).errors == []


@pytest.mark.parametrize(
    ("suggest", "more", "sentence"),
    [
        ("return {'lr': trial.suggest_float('lr', 1e-2, 1.0)}", {},
         "The range of lr must hold the baseline's 0.001, but is 0.01 … 1;"),
        ("return {'ema': trial.suggest_float('ema', 0.0, 1.0, step=0.5)}", {},
         "ema must lie in [0, 1), but got ema=1.0: it is so with ema=1.0; have `suggest`"),
        ("return {'lr': trial.suggest_float('lr', 1e-4, 1e-2), 'flip': True}", {},
         "The baseline must be one of the space's configurations, but has flip=False, and `suggest`"
         " returns True"),
        ("return {'lr': trial.suggest_float('lr', 1e-4, 1e-2), 'flop': 1}", {},
         "flop is not a field of a trial configuration; did you mean flip?"),
        ("trial.suggest_float('lr', 1e-4, 1e-2)\nreturn {}", {}, "but leaves out lr;"),
        ("return {'lr': trial.suggest_float('lr', 1e-4, 1e-2)}",
         {"more": ", prior={'lrr': Prior(1, 1)}"}, "but lrr is none; did you mean lr?"),
        ("return {'momentum': trial.suggest_float('momentum', 0.0, 0.5)}", {},
         "momentum goes with optimizer=sgd only"),
        ("return {'lr': trial.suggest_float('lr', 1e-4, 1e-2) / trial.number}", {},
         "uses trial.number; leave it out"),
        ("return None", {}, "end it with `return values`"),
        ("width = trial.suggest_categorical('head_width', list(range(0, 500)))\n"
         "if width == 137:\n    raise KeyError('rare')\nreturn {'head_width': width}", {},
         "KeyError: 'rare', line "),
    ],
)  # fmt: skip
def test_a_check_names_each_mistake(
    suggest: str, more: dict[str, Any], sentence: str, tmp_path: Path, capsys: Any
) -> None:
    path = write(tmp_path, suggest, **more)
    assert main(["check", path]) == 1
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert "mistake" in shown.out.splitlines()[-1]
    assert main(["check", path, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["sound"] is False
    assert any(sentence in each for each in found["errors"])


def test_a_check_names_all_mistakes_at_once(tmp_path: Path) -> None:
    suggest = (
        "return {'lr': trial.suggest_float('lr', 1e-2, 1.0),\n"
        "        'dropout': trial.suggest_float('dropout', 0.0, 0.5, step=0.2),\n"
        "        'flip': trial.suggest_categorical('flip', [True])}"
    )
    report = check_space(write(tmp_path, suggest, more=", prior={'ema': Prior(1, 1)}"))
    for words in ("range of lr must", "step of dropout must", "range of flip must", "but ema is"):
        assert sum(words in each for each in report.errors) == 1
    assert len(report.errors) == 4
    assert report.notes == ["flip is the same in all trials, and could be the baseline's alone."]


def test_what_can_t_be_read_is_a_mistake_too(tmp_path: Path, capsys: Any) -> None:
    assert main(["check", str(tmp_path / "none.py")]) == 1
    assert "doesn't exist" in capsys.readouterr().err
    assert main(["check", "resnet5O"]) == 1
    assert "did you mean resnet50?" in capsys.readouterr().err
    path = write(tmp_path, "return {}")
    Path(path).write_text(Path(path).read_text(encoding="utf-8").replace("'demo'", "'dmeo'"),
                          encoding="utf-8")  # fmt: skip
    report = check_space(path)
    assert any("dmeo" in each for each in report.errors)
    assert report.notes == ["Nothing is searched: all trials are the baseline."]


def test_a_check_describes_every_network_and_branch(tmp_path: Path, capsys: Any) -> None:
    assert main(["check", str(write_networks(tmp_path, PRETRAINED))]) == 0
    shown = capsys.readouterr().out
    for line in (
        "  freeze_depth: 0 … 4, step 1 where network is resnet18, baseline 7",
        "  freeze_depth: 0 … 8, step 1 where network is efficientnet_lite0, baseline 7",
        "configurations: 15",  # 5 + 9 + 1
    ):
        assert line in shown.splitlines()
    assert "costs: resnet18, 11.69 million parameters, 0.148·10⁹ multiply-adds for" in shown
    assert shown.count("costs: ") == 3


def test_configurations_are_counted_branch_by_branch(tmp_path: Path) -> None:
    text = TEXT.replace('trial.suggest_float("lr", 5e-4, 5e-3, log=True)', "2e-3")
    assert check_space(str(write_networks(tmp_path, text))).size == 3 * 2 + 3  # two in one branch
    many = "return {'batch_size': trial.suggest_int('batch_size', 2, 20_000)}"
    assert check_space(write(tmp_path, many)).size is None
    widest = "return {'seed': trial.suggest_int('seed', 0, 2**31)}"  # takes no memory
    assert walk_configurations(lambda walk: walk.suggest_int("seed", 0, 2**31)) is None
    assert check_space(write(tmp_path, widest)).size == 1  # --seed fixes it


RARE = """
width = trial.suggest_int('head_width', 0, 4000)
values = {'head_width': width}
if width == 3999:
    RARE
return values
"""
"""In one of 4,001 configurations something happens that no draw of a check meets."""


@pytest.mark.parametrize(
    ("rare", "sentence"),
    [
        ("raise KeyError(width)", "but it failed (KeyError: 3999, line 9 of mine.py); mend"),
        ("values['lr'] = trial.suggest_float('lr', 1e-2, 1.0)\n    raise KeyError(values['lr'])",
         "but it failed (KeyError: 0.01, line 10 of mine.py); mend"),
        ("values['momentum'] = 0.9", "momentum goes with optimizer=sgd only, but got momentum=0.9: "
         "it is so with head_width=3999; have `suggest`"),
        ("trial.suggest_categorical('flip', [False, True])", "but leaves out flip; add it"),
        ("values['dropout'] = trial.suggest_float('dropout', 0.0, 0.5, step=0.2)",
         "The step of dropout must divide its range"),
        ("trial.suggest_int('head_width', 0, 3999)", "A trial must be asked for head_width once"),
    ],
)  # fmt: skip
def test_a_check_goes_through_branches_that_its_draws_miss(
    rare: str, sentence: str, tmp_path: Path
) -> None:
    path = write(tmp_path, RARE.replace("RARE", rare))
    proposer = Proposer(find_space(path), {}, 0)
    assert all(probe.params["head_width"] != 3999 for probe in proposer.probe(DRAWN))
    (error,) = check_space(path).errors
    assert sentence in error


def test_a_range_of_a_branch_that_draws_miss_is_shown_and_counts(tmp_path: Path) -> None:
    free = "values['lr'] = trial.suggest_float('lr', 1e-4, 1e-2, log=True)"
    report = check_space(write(tmp_path, RARE.replace("RARE", free)))
    assert report.errors == []
    assert [each.name for each in report.ranges] == ["head_width", "lr"]
    assert (report.size, report.continuous) == (None, ["lr"])
    choice = "values['flip'] = trial.suggest_categorical('flip', [False, True])"
    assert check_space(write(tmp_path, RARE.replace("RARE", choice))).size == 4002
    beyond = choice.replace("False, True", "True")
    (error,) = check_space(write(tmp_path, RARE.replace("RARE", beyond), ", flip=False",
                                 ", prior={'flip': Prior(False, 1)}")).errors  # fmt: skip
    assert error.startswith("The prior of flip must have a value of its range")


@pytest.mark.parametrize(
    ("suggest", "sentences"),
    [
        ("return {'lr': trial.suggest_float('lr', 1e-4, 1e-2), 'flop': 1, 'flap': 1}",
         ["flop is not a field", "flap is not a field"]),
        ("lr = trial.suggest_float('lr', 1e-4, 1e-2)\nraise KeyError(lr)", ["failed (KeyError"]),
        ("lr = trial.suggest_float('lr', 1e-4, 1e-2)\nif lr < 5e-3:\n    raise KeyError(lr)\n"
         "if lr > 5e-3:\n    raise KeyError(lr)", ["line 8 of mine.py", "line 10 of mine.py"]),
        ("return [trial.suggest_float('lr', 1e-4, 1e-2)]", ["but returns [0.00"]),
        ("high = trial.suggest_float('lr', 1e-4, 1e-2)\n"
         "return {'lr': high, 'dropout': trial.suggest_float('dropout', 0.0, high, step=5e-5)}",
         ["The step of dropout must divide"]),
        ("return {'batch_size': trial.suggest_int('batch_size', 1, 64)}",
         ["batch_size must lie in 2…"]),
    ],
)  # fmt: skip
def test_a_check_names_each_broken_rule_once(
    suggest: str, sentences: list[str], tmp_path: Path
) -> None:
    errors = check_space(write(tmp_path, suggest)).errors
    for sentence in sentences:
        assert sum(sentence in each for each in errors) == 1, errors
    assert len(errors) == len(sentences), errors


def test_a_rule_that_draws_and_ends_of_ranges_break_is_named_once(tmp_path: Path) -> None:
    text = PRETRAINED.replace(
        '"resnet10": {"weights": "none"', '"resnet10": {"weights": "imagenet"'
    )
    errors = check_space(str(write_networks(tmp_path, text))).errors
    assert sum("weights must be none or a file for resnet10" in each for each in errors) == 1


def test_json_has_the_documented_fields(tmp_path: Path, capsys: Any) -> None:
    suggest = "return {'lr': trial.suggest_float('lr', 1e-4, 1e-2, log=True)}"
    assert main(["check", write(tmp_path, suggest, more=", prior={'lr': Prior(2e-3, 0.5)}"),
                 "--json"]) == 0  # fmt: skip
    found = json.loads(capsys.readouterr().out)
    guide = (ROOT / "docs" / "guides" / "your-own.md").read_text(encoding="utf-8")
    for name in [*found, *found["ranges"][0], *found["networks"][0]]:
        assert f"`{name}`" in guide, name
    assert found["schema"] == SCHEMA == 1
    assert found["ranges"] == [
        {
            "parameter": "lr", "kind": "float", "low": 1e-4, "high": 1e-2, "step": None,
            "log": True, "condition": [], "baseline": 1e-3,
            "prior": {"value": 2e-3, "confidence": 0.5},
        }
    ]  # fmt: skip
    assert (found["configurations"], found["continuous"]) == (None, ["lr"])
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in listed["spaces"]] == space_names()
    assert set(listed["spaces"][0]) == {"name", "summary", "dataset", "baseline"}
    assert main(["list"]) == 0
    first = capsys.readouterr().out
    assert run(["--list"]) == 0
    assert capsys.readouterr().out == first


def test_the_command_starts_as_a_module_without_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "search.spaces", "check", "demo"], cwd=ROOT,
        capture_output=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("demo: ResNet-10 from scratch")
    assert not {"torch", "ray"} & {line.split("|")[-1].strip() for line in done.stderr.splitlines()}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["check"], "`check` must be followed by the name or the file of a space"),
        (["list", "demo"], "`list` must be followed by no space"),
        (
            ["check", "demo", "--like", "demo"],
            "--like and --out go with `new` only; leave",
        ),
        (["new", "own", "--json"], "--json goes with `list` and `check` only; leave it out"),
        (["new", "own", "--like", "dmeo"], "did you mean demo?"),
    ],
)
def test_words_that_don_t_go_together_are_refused(
    words: list[str], sentence: str, capsys: Any
) -> None:
    assert main(words) == 2
    assert sentence in capsys.readouterr().err
