"""A run that begins with what earlier runs have found."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from results.records import TrialRecord, TrialState
from results.store import RunStore, read_manifest
from search.planning.plan import Plan
from search.planning.warm_start import EarlierRun, best_of, read_earlier_run, useful_trials
from search.run import main
from search.spaces import find_space
from search.study.horizons import QueuedConfiguration
from search.study.prior_trials import read_prior_trials
from search.study.proposer import Proposer
from tests.search import session_on_curves
from tests.search.session_on_curves import search
from trainables.config import TrialConfig

pytestmark = pytest.mark.usefixtures("plan_quickly")

BASELINE = find_space("demo").baseline
HERE = Proposer(find_space("demo"), {"epochs": 9}, seed=0)


def earlier(
    *configs: TrialConfig, name: str = "A", state: TrialState = TrialState.COMPLETE
) -> EarlierRun:
    """A run whose trials reached 0.9, 0.8, …, in the order given."""
    trials = {
        number: TrialRecord(
            number=number, state=state, params={}, config=config.to_dict(),
            epochs=1, best_epoch=1, last_val_top1=round(0.9 - 0.1 * number, 1),
        )
        for number, config in enumerate(configs)
    }  # fmt: skip
    values = {n: {1: record.last_val_top1 or 0.0} for n, record in trials.items()}
    return EarlierRun(name=name, fingerprint="images", trials=trials, values=values)


def queued(*runs: EarlierRun) -> list[QueuedConfiguration]:
    return best_of(runs, HERE, HERE.baseline_params())


def test_parameters_outside_of_today_s_ranges_are_the_baseline_s() -> None:
    """lr lies in 1e-3…6e-3 here, dropout on steps of 0.1, weight_decay is a choice of four."""
    far = BASELINE.but(lr=0.5, dropout=0.3, weight_decay=1e-4, cutout=0.3, flip=True, epochs=9)
    (only,) = queued(earlier(far))
    assert only.origin == "trial 0 of A"
    assert only.params == HERE.baseline_params() | {"dropout": 0.3, "flip": True}


def test_a_field_that_was_fixed_there_and_is_searched_here_counts() -> None:
    """What matters is the configuration, not which of its fields were searched."""
    (only,) = queued(earlier(BASELINE.but(label_smoothing=0.1)))
    assert only.params["label_smoothing"] == 0.1


def test_what_hangs_on_a_choice_comes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from search.space import Space\n"
        "from trainables.config import TrialConfig\n"
        "def suggest(trial):\n"
        "    v = {'optimizer': trial.suggest_categorical('optimizer', ['adamw', 'sgd'])}\n"
        "    if v['optimizer'] == 'sgd':\n"
        "        v['momentum'] = trial.suggest_float('momentum', 0.5, 0.99)\n"
        "    return v\n"
        "SPACE = Space(summary='mine', dataset='demo', suggest=suggest,\n"
        "              baseline=TrialConfig(network='resnet10'))\n",
        encoding="utf-8",
    )
    proposer = Proposer(find_space(str(path)), {}, 0)
    run = earlier(
        TrialConfig(network="resnet10", optimizer="sgd", momentum=0.75),
        TrialConfig(network="resnet10", optimizer="sgd", momentum=0.25),
        TrialConfig(network="resnet10", optimizer="adam"),
    )
    found = best_of([run], proposer, proposer.baseline_params())
    # 0.25 is outside, and so is what momentum counts as when left out: the sampler chooses.
    # Adam isn't searched: that is the baseline, which is tried anyway.
    assert [each.params for each in found] == [
        {"optimizer": "sgd", "momentum": 0.75},
        {"optimizer": "sgd"},
    ]


def test_each_run_gives_its_best_in_turn_and_nothing_is_tried_twice() -> None:
    drops = [BASELINE.but(dropout=d) for d in (0.1, 0.2, 0.3, 0.4, 0.5)]
    first = earlier(drops[0], BASELINE, drops[1], drops[2])
    second = earlier(drops[0], drops[3], name="B")
    third = earlier(drops[4], name="C")
    assert [each.origin for each in queued(first)] == [f"trial {n} of A" for n in (0, 2, 3)]
    assert [each.origin for each in queued(first, second)] == [
        "trial 0 of A", "trial 1 of B", "trial 2 of A",
    ]  # fmt: skip
    others = [earlier(BASELINE.but(lr=lr), name=f"lr {lr}") for lr in (0.003, 0.004)]
    names = [each.origin for each in queued(first, second, third, *others)]
    assert names == ["trial 0 of A", "trial 1 of B", "trial 0 of C", "trial 0 of lr 0.003",
                     "trial 0 of lr 0.004"]  # fmt: skip


def evidence(config: TrialConfig, **changes: Any) -> list[Any]:
    return useful_trials(earlier(config, **changes), HERE, "images", 9)


def test_only_what_could_be_proposed_here_is_evidence() -> None:
    same = BASELINE.but(epochs=9, dropout=0.3)
    (found,) = evidence(same)
    assert found.params == HERE.baseline_params() | {"dropout": 0.3}
    assert (found.origin, found.values, found.epochs) == ("trial 0 of A", {1: 0.9}, 9)
    assert evidence(same.but(seed=7, precision="bfloat16"))
    for other in ({"network": "resnet18"}, {"dropout": 0.35}, {"batch_size": 64}, {"lr": 0.5}):
        assert not evidence(same.but(**other))
    assert not useful_trials(earlier(same), HERE, "other images", 9)
    assert not useful_trials(earlier(same), HERE, None, 9)


def test_a_longer_schedule_is_no_evidence_and_a_shorter_one_is() -> None:
    assert not evidence(BASELINE.but(epochs=10))
    assert evidence(BASELINE.but(epochs=5))[0].epochs == 5


def test_failed_trials_teach_nothing_and_stopped_ones_as_far_as_they_came() -> None:
    same = BASELINE.but(epochs=9)
    assert not evidence(same, state=TrialState.FAILED)
    assert evidence(same, state=TrialState.STOPPED)[0].values == {1: 0.9}


# --- whole runs, without training --------------------------------------------------------


def planned(data: Path, name: str, **changes: Any) -> Plan:
    return session_on_curves.planned(data.parent, data, changes, name=name, trials=12)


@pytest.fixture
def data(tmp_path: Path, tiny_data: Path) -> Path:
    """The prepared images, where runs may be written beside them."""
    return Path(shutil.copytree(tiny_data, tmp_path / tiny_data.name))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path, plan_quickly: None) -> Path:
    """A finished run A."""
    data = Path(shutil.copytree(tiny_data, tmp_path_factory.mktemp("a") / tiny_data.name))
    search(planned(data, "A", seed=100))
    return data.parent / "A"


@pytest.fixture
def warm(data: Path, finished: Path) -> Callable[..., Plan]:
    """Plans of a run B that begins with the finished run A, of another seed."""
    a = shutil.copytree(finished, str(data.parent / "A"))
    return lambda **changes: planned(data, changes.pop("name", "B"), warm_start=[a], **changes)


def test_the_baseline_comes_first_and_then_the_best_of_the_earlier_run(
    warm: Callable[..., Plan],
) -> None:
    plan = warm()
    a = read_earlier_run(plan.directory.parent / "A")
    best = sorted(a.trials.values(), key=lambda r: -(r.last_val_top1 or 0.0))
    best = [record for record in best if record.params != a.trials[0].params]
    study = search(plan)
    tried = [record.params for record in study.records.values()]
    assert len(tried) == 12  # the queued ones are counted
    assert tried[:4] == [a.trials[0].params, *(record.params for record in best[:3])]
    assert len(read_prior_trials(plan.directory)) == 12
    manifest = read_manifest(plan.directory)
    images = manifest["dataset"]["fingerprint"]
    assert manifest["warm_start"] == [{"run": "A", "fingerprint": images, "trials": 12}]
    origins = [each["origin"] for each in manifest["horizons"][0]["queue"]]
    assert origins == ["baseline", *(f"trial {record.number} of A" for record in best[:3])]


@pytest.mark.parametrize("killed_after", [0, 12, 30])
def test_it_goes_on_to_the_same_when_the_earlier_run_is_gone(
    warm: Callable[..., Plan], data: Path, killed_after: int
) -> None:
    whole = search(warm(name="whole"))
    search(warm(), epochs=killed_after)
    shutil.rmtree(data.parent / "A")
    resumed = search(planned(data, "B"))
    assert resumed.finished()
    assert resumed.records == whole.records
    assert resumed.epochs == whole.epochs


def test_other_images_give_configurations_but_teach_nothing(
    warm: Callable[..., Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = warm()
    path = plan.directory.parent / "A" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["dataset"]["fingerprint"] = "other"
    del manifest["sha256"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    other = warm()
    assert len(other.horizons[0].queue) == 4
    search(other, epochs=0)
    assert read_prior_trials(other.directory) == []
    out = str(plan.directory.parent)
    words = ["--space", "demo", "--dataset", "tiny-imagenet", "--data", out, "--out", out,
             "--warm-start", str(path.parent), "--dry-run"]  # fmt: skip
    assert main(words) == 0
    assert "learns   nothing from A, whose images differ" in capsys.readouterr().out


def test_a_dry_run_shows_what_is_tried_and_learned(
    warm: Callable[..., Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = warm()
    out = str(plan.directory.parent)
    search(plan, epochs=0)
    more = ["--space", "demo", "--dataset", "tiny-imagenet", "--out", out, "--epochs", "9",
            "--warm-start", f"{out}/A", "--dry-run"]  # fmt: skip
    words = [*more, "--data", out]
    assert main([*words, "--set", "batch_size=16", "image_size=32"]) == 0
    shown = capsys.readouterr().out
    assert "first    the baseline, trial " in shown
    assert "learns   from 12 of 12 trials of A, those that could be proposed here" in shown
    assert "trial 3" in shown
    assert "trial 4" not in shown.split("First configurations")[1]
    assert main([*words, "--set", "batch_size=16", "image_size=32", "--trials", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (first,) = (line for line in lines if line.startswith("first "))
    assert first.count("trial ") == 1  # of three best ones, the one that will be tried
    assert main(words) == 0  # larger batches than A's
    assert "learns   from 0 of 12 trials of A" in capsys.readouterr().out
    assert main([*more, "--data", f"{out}/elsewhere"]) == 0
    assert "learns   from A, if its images turn out to be the same" in capsys.readouterr().out
    assert main(["--resume", "B", "--out", out, "--dry-run"]) == 0
    assert f"learns   from {out}/A, as recorded when the run began" in capsys.readouterr().out


def test_what_can_t_be_begun_with_is_refused_all_at_once(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = data.parent / "empty"
    RunStore.create(empty, {"name": "empty"}).close()
    runs = [str(empty), str(data.parent / "none")]
    words = ["--space", "demo", "--dry-run", "--warm-start", *runs, "--trials", "0"]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "--trials must lie in 1…1000000, but got 0" in told
    assert f"--warm-start needs runs with a trained epoch, but {empty} has none" in told
    assert "none is not a run" in told
    assert len(told.splitlines()) == 3
    assert main(["--space", "demo", "--dry-run", "--warm-start", "x", "x"]) == 2
    assert "--warm-start must name each run once" in capsys.readouterr().err


@pytest.mark.parametrize("older", [False, True])
def test_a_run_can_t_be_warmed_later(
    warm: Callable[..., Plan], capsys: pytest.CaptureFixture[str], older: bool
) -> None:
    """Nor can one of a version that knew no warm start."""
    out = str(warm().directory.parent)
    if older:
        path = Path(out) / "A" / "manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        del manifest["options"]["warm_start"], manifest["sha256"]
        path.write_text(json.dumps(manifest), encoding="utf-8")
    assert main(["--resume", "A", "--out", out, "--warm-start", "runs/B", "--dry-run"]) == 2
    assert "--warm-start can't change when a run goes on" in capsys.readouterr().err
