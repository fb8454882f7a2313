"""Made runs, whose parameters are known to matter or not."""

import json
import math
import random
import re

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from rich.table import Table

from results import importance
from results.analysis.rung_values import trials_at_rungs
from results.importance import MIN_TRIALS, importances, table
from results.jsonl import read_lines
from results.records import StopReason, TrialState
from results.store import TRIALS, RunStore
from search.early_stopping.asha import rung_epochs
from tests.results.example_run import Made, make_run
from tests.search.study_on_curves import RULES, curve, open_study

RANGES = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
    "flip": CategoricalDistribution([False, True]),
    "momentum": FloatDistribution(0.5, 0.99),
}


def stopped(params, values):
    return Made(params=params, values=values, state=TrialState.STOPPED, reason=StopReason.RUNG)


def made_trials(count=60, seed=0):
    """lr alone decides at epoch 3, where two thirds are stopped, and dropout alone at epoch 4."""
    draw = random.Random(seed)
    params = [
        {"lr": 10 ** draw.uniform(-4, -1), "dropout": draw.uniform(0, 0.5), "flip": number % 2 == 0}
        for number in range(count)
    ]
    at_3 = [0.6 - 0.2 * abs(math.log10(p["lr"] / 3e-3)) for p in params]
    bar = sorted(at_3)[count * 2 // 3]
    return [
        Made(params=p, values=[0.1, 0.2, v, p["dropout"]])
        if v >= bar
        else stopped(p, [0.1, 0.2, v])
        for p, v in zip(params, at_3, strict=True)
    ]


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", RANGES, made_trials(), epochs=4)


def above_noise(comparison):
    return {name for name, found in comparison.parameters.items() if found.above_noise}


def test_what_decides_at_a_rung_and_what_at_the_end(run):
    rung, end = importances(run).overall
    assert (rung.epoch, rung.trials, end.epoch, end.trials) == (3, 60, 4, 20)
    assert above_noise(rung) == {"lr"}
    assert rung.parameters["lr"].share > 0.8
    assert above_noise(end) == {"dropout"}
    assert end.parameters["dropout"].share > 0.9
    for comparison in (rung, end):
        assert all(0 <= p.low <= p.share <= p.high <= 1 for p in comparison.parameters.values())


def test_stopped_trials_count(tmp_path):
    """All without flip are stopped; among those that went on, and one more, flip tells nothing."""
    draw = random.Random(4)
    trials = []
    for number in range(48):
        params = {"flip": number % 2 == 0, "dropout": draw.uniform(0, 0.5)}
        value = draw.uniform(0, 0.4)
        trials.append(
            Made(params=params, values=[0.5 + value])
            if params["flip"]
            else stopped(params, [value])
        )
    (found,) = importances(make_run(tmp_path / "all", RANGES, trials, 1)).overall
    assert (found.trials, above_noise(found)) == (48, {"flip"})
    assert found.parameters["flip"].share > 0.7
    (few,) = importances(
        make_run(tmp_path / "few", RANGES, [*trials[1::2][:1], *trials[::2]], 1)
    ).overall
    assert (few.trials, above_noise(few)) == (25, set())
    assert few.parameters["flip"].share < 0.2


def test_a_choice_that_parts_the_halves_has_all_and_one_that_lies_even_has_nothing(tmp_path):
    ranges = {name: CategoricalDistribution([0, 1]) for name in ("parts", "even")}
    trials = [
        Made(params={"parts": n % 2, "even": n // 2 % 2}, values=[n % 2 / 2 + n / 100])
        for n in range(16)
    ]
    (found,) = importances(make_run(tmp_path / "run", ranges, trials, 1)).overall
    # In each block of eight the ranks 1 to 4 and 9 to 12, or 5 to 8 and 13 to 16: of all 276
    # squares 20 are left, for which there are 13 degrees of freedom, and for all there are 14.
    assert found.parameters["parts"].share == pytest.approx(1 - 20 / 13 * 14 / 276)
    assert found.parameters["even"].share == 0
    assert above_noise(found) == {"parts"}


def test_the_upper_quarter_is_that_of_the_trials_with_the_highest_values(tmp_path):
    draw = random.Random(3)
    trials = [
        Made(params={"lr": 10 ** draw.uniform(-4, -1), "dropout": draw.uniform(0, 0.5)}, values=[v])
        for v in draw.sample([n / 100 for n in range(64)], 64)
    ]
    (quarter,) = importances(make_run(tmp_path / "run", RANGES, trials, epochs=1)).upper_quarter
    best = [trial for trial in trials if trial.values[0] >= 0.48]
    (alone,) = importances(make_run(tmp_path / "alone", RANGES, best, epochs=1)).overall
    assert quarter.trials == len(best) == 16
    assert quarter == alone


def test_a_parameter_that_only_some_trials_have(tmp_path):
    """Momentum decides among those with flip, and flip itself nothing."""
    draw = random.Random(1)
    trials = []
    for number in range(48):
        params = {"flip": number % 2 == 0, "dropout": draw.uniform(0, 0.5)}
        value = 0.5 + draw.uniform(-0.4, 0.4)
        if params["flip"]:
            params["momentum"] = draw.uniform(0.5, 0.99)
            value = params["momentum"] - 0.245
        trials.append(Made(params=params, values=[value]))
    (found,) = importances(make_run(tmp_path / "run", RANGES, trials, 1)).overall
    assert found.trials == 48
    assert next(iter(found.parameters)) == "momentum"
    assert above_noise(found) == {"momentum"}


def test_what_only_moves_along_while_results_rise_is_not_told_from_noise(tmp_path):
    """Eight blocks of eight trials: both rise from block to block, and within one go by chance."""
    draw = random.Random(2)
    trials = [
        Made(
            params={"dropout": 0.05 * block + draw.uniform(0, 0.1), "flip": draw.random() < 0.5},
            values=[0.1 * block + draw.uniform(0, 0.1)],
        )
        for block in range(8)
        for _ in range(8)
    ]
    (found,) = importances(make_run(tmp_path / "run", RANGES, trials, 1)).overall
    assert found.parameters["dropout"].share < 0.1
    assert above_noise(found) == set()


def test_too_few_trials_give_no_number(tmp_path):
    trials = made_trials(MIN_TRIALS - 1)
    report = importances(make_run(tmp_path / "run", RANGES, trials, 4))
    assert [c.parameters for c in report.overall + report.upper_quarter] == [None] * 4
    said = table("Among all trials", report.overall)
    assert said == (
        "Among all trials: epoch 3 too few trials (15); epoch 4 too few trials (5). 16 are needed."
    )


def test_equal_values_give_no_number(tmp_path):
    trials = [Made(params=t.params, values=[0.05]) for t in made_trials(20)]
    report = importances(make_run(tmp_path / "run", RANGES, trials, 1))
    assert report.overall[0].parameters is None
    assert "epoch 1 equal values (20 trials)" in table("All", report.overall)


def test_the_command_prints_a_table_and_writes_nothing(run, capsys):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.iterdir()}
    assert importance.main([str(run)]) == 0
    lines = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    cells = {name.strip(): at_3.strip() for _, name, at_3, *_ in lines}
    assert list(cells) == ["dropout", "lr", "flip"]  # dropout decides at epoch 4
    part, low, high = map(int, re.findall(r"\d+", cells["lr"]))
    assert cells["lr"] == f"{part} [{low}…{high}] *"
    assert 60 < low < part < high < 100
    assert cells["flip"].startswith("0 [0…")
    assert not cells["flip"].endswith("*")
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.iterdir()}


def test_a_table_shows_refused_rungs_beside_others(run):
    made = table("All", importances(run).upper_quarter[:1] + importances(run).overall[:1])
    assert isinstance(made, Table)
    assert made.columns[1].header == "epoch 3\ntoo few\ntrials (15)"
    assert set(made.columns[1].cells) == {"–"}
    assert made.columns[2].header == "epoch 3\n60 trials"


def test_runs_that_cannot_be_read_are_told_so(tmp_path, run, capsys):
    assert importance.main([str(tmp_path / "nothing")]) == 2
    RunStore.create(tmp_path / "empty", {"name": "empty"}).close()
    assert importance.main([str(tmp_path / "empty")]) == 2
    journal = run / "journal.log"
    journal.write_text(
        "".join(journal.read_text(encoding="utf-8").splitlines(keepends=True)[:30]),
        encoding="utf-8",
    )
    assert importance.main([str(run)]) == 2
    journal.write_text("no JSON\n" * 3, encoding="utf-8")
    assert importance.main([str(run)]) == 2
    journal.unlink()
    assert importance.main([str(run)]) == 2
    said = capsys.readouterr().err.splitlines()
    words = ("is not a run", "no trial yet", "has no trial 29", "is damaged", "must be there")
    assert all(word in line for word, line in zip(words, said, strict=True))
    assert not journal.exists()


def test_a_search_s_own_records_are_read_while_it_runs(tmp_path):
    study = open_study(tmp_path / "run", trials=18)
    study.store.write_manifest({"name": "run"})
    while (proposal := study.ask()) is not None:
        for metrics in curve(proposal.config)[: 1 if proposal.number == 17 else 9]:
            if study.report(proposal.number, metrics):
                break
    report = importances(tmp_path / "run")
    assert study.records[17].state is TrialState.RUNNING
    assert report.overall[0].trials == 18
    epochs = {comparison.epoch for comparison in report.overall}
    assert {1, 9} <= epochs <= {*rung_epochs(grace=RULES.grace, factor=RULES.factor, epochs=9), 9}
    assert "lr" in report.overall[0].parameters
    study.store.close()


def test_values_of_trials_that_ended_otherwise(tmp_path):
    state, params = TrialState, {"flip": True}
    diverged = StopReason.DIVERGED
    trials = [
        Made(params=params, values=[0.1, 0.2, 0.3, 0.4]),
        stopped(params, [0.1, 0.5]),
        Made(params=params, values=[0.1, 0.6, 0.9], state=state.STOPPED, reason=diverged),
        Made(params=params, values=[0.9], state=state.STOPPED, reason=diverged),
        Made(params=params, values=[0.3, 0.3, 0.3], state=state.FAILED),
        Made(params=params, values=[0.3], state=state.FAILED),
        Made(params=params, values=[0.1, 0.7], state=state.RUNNING),
    ]
    rungs = trials_at_rungs(make_run(tmp_path / "run", RANGES, trials, epochs=4))
    values = {epoch: [trial.value for trial in found] for epoch, found in rungs.items()}
    # The third trial diverged at epoch 3 after 0.6 at the rung, the fourth before the rung.
    assert values == {2: [0.2, 0.5, 0.6, 0.0, 0.3, 0.7], 4: [0.4, 0.0]}


def test_the_ends_of_two_lengths_are_kept_apart(tmp_path):
    """Three epochs of a training to three are no three of one to five; after one, all compare."""
    params = {"dropout": 0.1}
    trials = [
        Made(params=params, values=[0.1, 0.2, 0.3]),
        Made(params=params, values=[0.2], state=TrialState.STOPPED, reason=StopReason.RUNG),
        Made(params=params, values=[0.3, 0.35, 0.4, 0.5, 0.6], epochs=5),
        Made(params=params, values=[0.4, 0.0], epochs=5, state=TrialState.STOPPED,
             reason=StopReason.DIVERGED),
    ]  # fmt: skip
    rungs = trials_at_rungs(make_run(tmp_path / "run", RANGES, trials, epochs=3))
    assert {epoch: [t.value for t in reached] for epoch, reached in rungs.items()} == {
        1: [0.1, 0.2, 0.3, 0.4],
        3: [0.3],
        5: [0.6, 0.0],
    }


def test_a_baseline_outside_of_its_range_is_left_out(tmp_path):
    trials = [Made(params={"dropout": 0.1}, values=[0.2])] * 3
    run = make_run(tmp_path / "run", RANGES, trials, epochs=1)
    journal = run / "journal.log"
    text = journal.read_text(encoding="utf-8")
    assert '"dropout":0.1' in text
    journal.write_text(text.replace('"dropout":0.1', '"dropout":0.7', 1), encoding="utf-8")
    first, *others = read_lines(run / TRIALS)
    first["params"]["dropout"] = 0.7
    (run / TRIALS).write_text(
        "".join(json.dumps(each) + "\n" for each in (first, *others)), encoding="utf-8"
    )
    assert len(trials_at_rungs(run)[1]) == 2


def test_equal_ranges_are_one_object_which_is_compared_at_once(run):
    ranges = [each for trial in trials_at_rungs(run)[3] for each in trial.distributions.values()]
    assert len(ranges) == 180
    assert len(set(map(id, ranges))) == len(set(ranges)) == 3
