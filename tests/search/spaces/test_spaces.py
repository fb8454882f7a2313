"""Every space that comes with the project, found by itself, without torch."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import optuna
import pytest

from datasets.registry import DATASETS
from search.config.command_line import resolve
from search.planning.plan import Plan, make_plan
from search.run import main
from search.space import SpaceError, suggested
from search.spaces import find_space, space_names
from search.study.proposer import Proposer
from search.study.searched_ranges import find_ranges, find_wrong_priors
from trainables.conditional_fields import CONDITIONAL
from trainables.config import TrialConfig

ROOT = Path(__file__).parents[3]

MOST_PARAMETERS = 14
"""That one trial may be asked for: a search has 20 to 100 trials."""


@pytest.fixture(params=space_names())
def name(request):
    return request.param


@pytest.fixture
def space(name):
    return find_space(name)


def plan_of(name: str, out: Path, **values: object) -> Plan:
    options, errors = resolve({"space": name, "out": str(out)} | values)
    plan, more = make_plan(options, resuming=False)
    assert plan is not None, errors + more
    return plan


def test_the_baseline_lies_inside_every_range(space):
    study = optuna.create_study()
    study.enqueue_trial(Proposer(space, {}, 0).baseline_params())
    trial = study.ask()
    values = suggested(space, trial, {})
    assert TrialConfig.from_dict(space.baseline.to_dict() | values) == space.baseline
    for parameter, distribution in trial.distributions.items():
        inside = distribution._contains(distribution.to_internal_repr(trial.params[parameter]))
        assert inside, parameter


def test_a_prior_is_a_belief_about_a_parameter_of_the_space(space):
    proposer = Proposer(space, {}, 0)
    assert find_wrong_priors(space.prior, find_ranges(proposer.probe()), ()) == []


def test_a_hundred_samples_are_valid_and_differ(space):
    configs, ranges = Proposer(space, {}, 1).preview(100)
    assert configs[0] == space.baseline
    assert len(set(configs)) > 95
    assert set(ranges) <= {field.name for field in fields(TrialConfig)}


def test_a_trial_is_asked_for_few_parameters_and_only_those_that_count(space):
    proposer, study = Proposer(space, {}, 2), optuna.create_study()
    for number in range(100):
        study.sampler = proposer.sampler(number)
        params, config = proposer.propose(study.ask())
        assert 4 <= len(params) <= MOST_PARAMETERS
        for conditional, (owner, value) in CONDITIONAL.items():
            assert conditional not in params or getattr(config, owner) == value


def test_without_pretrained_weights_it_trains_every_stage(name, tmp_path):
    plan = plan_of(name, tmp_path, weights="none")
    assert {(c.weights, c.freeze_depth) for c in plan.preview} == {("none", 0)}
    assert "freeze_depth" not in plan.ranges


def test_it_has_a_summary_of_one_line_and_a_known_dataset(space):
    assert 10 < len(space.summary) < 100
    assert "\n" not in space.summary
    assert space.dataset in DATASETS


def test_the_list_and_the_dry_runs_show_every_space_without_torch(tmp_path, capsys):
    assert main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == space_names()
    code = (
        "import sys\n"
        "from contextlib import nullcontext\n"
        "from search.hardware.probe import TorchProcess\n"
        "from search.run import main\n"
        "from search.session import dry_run\n"
        "with TorchProcess('') as one:\n"  # for all spaces, because each takes seconds to start
        "    dry_run.torch_process = lambda plan: nullcontext(one)\n"
        f"    for name in {space_names()}:\n"
        f"        assert main(['--space', name, '--dry-run', '--out', {str(tmp_path)!r}]) == 0\n"
        "assert not {'torch', 'ray', 'ffcv'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("First configurations") == len(space_names())
    for name in space_names():
        assert f"space    {name}: " in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_small_stem_is_tried_where_it_costs_no_more(tmp_path):
    configs, _ = Proposer(find_space("resnet18_scratch"), {}, 0).preview(60)
    assert {(c.stem, c.image_size) for c in configs} == {
        ("small", 32), ("imagenet", 64), ("imagenet", 96), ("imagenet", 128)
    }  # fmt: skip
    fixed, _ = Proposer(find_space("resnet18_scratch"), {"image_size": 64}, 0).preview(20)
    assert {c.stem for c in fixed} == {"imagenet"}
    asked, _ = Proposer(
        find_space("resnet18_scratch"), {"image_size": 64, "stem": "small"}, 0
    ).preview(5)
    assert {(c.stem, c.image_size) for c in asked} == {("small", 64)}


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(SpaceError, match="did you mean resnet50"):
        find_space("resnet5O")


def write_folder_space(folder: Path, suggest: str) -> Path:
    """A space for a folder of images, with this text as its function."""
    path = folder / "mine.py"
    path.write_text(
        "from search.space import Space\n"
        "from trainables.config import TrialConfig\n"
        "SPACE = Space(summary='mine', dataset='folder',\n"
        "              baseline=TrialConfig(network='resnet18'),\n"
        f"              suggest={suggest})\n",
        encoding="utf-8",
    )
    return path


def test_a_file_of_the_users_is_a_space_too(tmp_path):
    path = write_folder_space(tmp_path, "lambda t: {'lr': t.suggest_float('lr', 1e-4, 1e-2)}")
    assert find_space(str(path)).dataset == "folder"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SPACE = 3", r"must define SPACE = Space"),
        ("import nothing_like_this", "ModuleNotFoundError"),
        ("def", "SyntaxError"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpaceError, match=message):
        find_space(str(path))
    with pytest.raises(SpaceError, match="doesn't exist"):
        find_space(str(tmp_path / "none.py"))


@pytest.mark.parametrize(
    ("suggest", "message"),
    [
        ("lambda t: {'lr': t.suggest_float('lrr', 1e-4, 1e-2)}", "lrr"),
        ("lambda t: 1 / 0", "ZeroDivisionError"),
        ("lambda t: {'flip': t.suggest_categorical('flip', [True])}", "flip|False"),
    ],
)
def test_a_space_that_fails_when_it_is_asked_is_named(tmp_path, suggest, message):
    path = write_folder_space(tmp_path, suggest)
    with pytest.raises(SpaceError, match=message):
        Proposer(find_space(str(path)), {}, 0).preview(3)
