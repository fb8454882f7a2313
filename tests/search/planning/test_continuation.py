"""A run that goes on with more trials or more epochs."""

import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from results.export import export
from results.records import StopReason, TrialState
from results.store import RunStore, read_epochs, read_manifest, read_trials
from search.planning.continuation import (
    REPEATED,
    ContinuationError,
    more_trials,
    planned_horizons,
    same_beginning,
)
from search.planning.cost_estimate import expected_epochs
from search.planning.plan import Plan, make_proposer
from search.run import main
from search.session.finish import finish
from tests.search import session_on_curves
from tests.search.session_on_curves import opened, search
from tests.search.study_on_curves import metrics

pytestmark = pytest.mark.usefixtures("plan_quickly")

SHORT, LONG = 9, 27


def planned(out: Path, data: Path, **changes: Any) -> Plan:
    return session_on_curves.planned(out, data, changes, name="run", trials=8)


def lived(directory: Path) -> Any:
    """What a search has decided, and the epochs in their order."""
    trials = {
        n: (r.params, r.config, r.state, r.reason, r.epochs, r.best_val_top1)
        for n, r in read_trials(directory).items()
    }
    return trials, list(read_epochs(directory))


@pytest.fixture
def short(tmp_path: Path, tiny_data: Path) -> Callable[..., Plan]:
    """Plans of a finished search of 8 trials of 9 epochs that goes on with changed options."""
    search(planned(tmp_path, tiny_data))
    return lambda **changes: planned(tmp_path, tiny_data, **changes)


def test_more_trials_are_added_to_what_the_run_has() -> None:
    layers: list[dict[str, Any]] = [{"seed": 3}, {"trials": "+20"}]
    assert more_trials(layers, {"trials": 12}) == []
    assert layers == [{"seed": 3}, {"trials": 32}]
    plain: list[dict[str, Any]] = [{"trials": "20"}]
    assert more_trials(plain, {"trials": 12}) == []
    assert plain == [{"trials": "20"}]


def test_a_new_run_has_nothing_to_add_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--space", "demo", "--trials", "+20", "--dry-run"]) == 2
    assert "--trials must be a number without a sign for a new run" in capsys.readouterr().err


def test_a_dry_run_tells_how_a_run_is_extended(
    short: Callable[..., Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    directory = short().directory
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    words = ["--resume", "run", "--out", str(directory.parent), "--dry-run"]
    assert main([*words, "--trials", "+20"]) == 0
    assert "trials   28, the baseline first; 9 epochs at most" in capsys.readouterr().out
    assert main([*words, "--epochs", "27"]) == 0
    shown = capsys.readouterr().out
    assert "trials   12, the baseline first; 27 epochs at most" in shown
    assert "first    from trial 8 on 27 epochs each; the baseline, trial " in shown
    assert "rungs    1, 3, 9;" in shown
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_a_longer_horizon_begins_with_the_baseline_and_the_best(
    short: Callable[..., Plan],
) -> None:
    """Four trials of 27 epochs after the eight of 9, and each of the four to its end."""
    old = read_trials(short().directory)
    best = sorted(old.values(), key=lambda r: -(r.last_val_top1 or 0))
    chosen = [r for r in best if r.params != old[0].params][:REPEATED]
    plan = short(epochs=LONG)
    assert plan.options.trials == 12
    assert (plan.epochs, plan.rungs) == (27, (1, 3, 9))
    study = search(plan)
    new = list(study.records.values())[8:]
    assert [r.params for r in new] == [old[0].params, *(r.params for r in chosen)]
    assert {(r.config["epochs"], r.epochs, r.state) for r in new} == {(27, 27, TrialState.COMPLETE)}
    assert {n: study.records[n] for n in old} == old
    horizons = read_manifest(plan.directory)["horizons"]
    assert [(h["first"], h["epochs"], h["proven"]) for h in horizons] == [(0, 9, 2), (8, 27, 4)]


def test_new_trials_are_compared_with_those_of_their_own_length(
    short: Callable[..., Plan],
) -> None:
    study = search(short(epochs=LONG, trials=20))
    assert len(study.records) == 20
    by_rung = [r for n, r in study.records.items() if n >= 12 and r.reason is StopReason.RUNG]
    assert by_rung
    assert {r.epochs for r in by_rung} <= {1, 3, 9}
    assert study.rungs.recorded()[1] == 12  # the eight old ones are not among them


@pytest.mark.parametrize(
    "killed_after", [1, 110, *(pytest.param(n, marks=pytest.mark.slow) for n in (40, 120))]
)
def test_an_extended_search_that_is_killed_goes_on_to_the_same(
    short: Callable[..., Plan], tmp_path: Path, tiny_data: Path, killed_after: int
) -> None:
    """In the baseline, in a repeated trial, and among those that the sampler proposes."""
    other = tmp_path / "whole"
    search(planned(other, tiny_data))
    search(planned(other, tiny_data, epochs=LONG, trials=16))
    search(short(epochs=LONG, trials=16), epochs=killed_after)
    study = search(short())
    assert study.finished()
    assert lived(tmp_path / "run") == lived(other / "run")


def test_what_had_begun_is_trained_to_its_old_length_first(tmp_path: Path, tiny_data: Path) -> None:
    search(planned(tmp_path, tiny_data), epochs=SHORT + 2)  # two epochs into trial 2 or so
    begun = read_trials(tmp_path / "run")
    (left,) = [n for n, r in begun.items() if r.state is TrialState.RUNNING]
    plan = planned(tmp_path, tiny_data, epochs=LONG)
    assert plan.horizons[-1].first == len(begun)
    session = opened(plan)
    first, second = session.study.ask(), session.study.ask()
    assert first is not None
    assert second is not None
    assert (first.number, first.config.epochs, first.baseline) == (left, SHORT, False)
    assert (second.number, second.config.epochs, second.baseline) == (len(begun), LONG, True)
    for epoch in range(first.epochs_done + 1, SHORT + 1):
        ending = session.study.report(left, metrics(epoch, 0.9))
    assert ending is not None
    assert ending.state is TrialState.COMPLETE
    session.close()


def test_a_search_killed_between_two_records_gives_the_longer_trials_their_own_numbers(
    short: Callable[..., Plan],
) -> None:
    """Optuna knows a trial that the records don't: it keeps its number and its old length."""
    session = opened(short(trials=9))
    session.study._mirror.study.sampler = session.study._proposer.sampler(8)
    session.study._mirror.study.ask()
    session.close()
    plan = short(epochs=LONG)
    assert plan.horizons[-1].first == 9
    study = search(plan)
    assert [r.config["epochs"] for r in study.records.values()] == [9] * 9 + [27] * 4
    assert study.records[9].params == study.records[0].params


def test_winner_and_baseline_are_compared_at_equal_length(short: Callable[..., Plan]) -> None:
    directory = short().directory
    before = yaml.safe_load(export(directory).read_text(encoding="utf-8"))
    assert before["baseline"]["trial"] == 0
    search(short(epochs=LONG))
    after = yaml.safe_load(export(directory).read_text(encoding="utf-8"))
    assert after["trial"] >= 8
    assert after["config"]["epochs"] == after["baseline"]["config"]["epochs"] == LONG
    assert after["baseline"]["trial"] == 8
    assert after["baseline"]["value"] == read_trials(directory)[8].last_val_top1
    old = yaml.safe_load(export(directory, trial=3).read_text(encoding="utf-8"))
    assert (old["config"]["epochs"], old["baseline"]["trial"]) == (SHORT, 0)


def test_fewer_epochs_and_too_few_trials_are_refused(
    short: Callable[..., Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--resume", "run", "--out", str(short().directory.parent), "--dry-run"]
    assert main([*words, "--epochs", "8"]) == 2
    assert "--epochs must be ≥ 9 when run goes on" in capsys.readouterr().err
    assert main([*words, "--epochs", "27", "--trials", "+2"]) == 2
    assert "--trials must be ≥ 12 to train the baseline, trial" in capsys.readouterr().err


def test_what_an_extension_costs(short: Callable[..., Plan]) -> None:
    """Four trainings of 27 epochs, and four trials that each rung lets a third pass."""
    plan = short(epochs=LONG, trials=16)
    assert expected_epochs(plan) == pytest.approx(4 * 27 + 4 * (1 + 2 / 3 + 6 / 9 + 18 / 27))


def test_a_run_without_a_trial_yet_simply_has_more_epochs(tmp_path: Path, tiny_data: Path) -> None:
    opened(planned(tmp_path, tiny_data)).close()
    plan = planned(tmp_path, tiny_data, epochs=LONG)
    assert [(h.first, h.epochs) for h in plan.horizons] == [(0, LONG)]
    assert plan.options.trials == 8
    assert {r.config["epochs"] for r in search(plan).records.values()} == {LONG}


def test_a_run_of_an_older_version_has_one_horizon(short: Callable[..., Plan]) -> None:
    directory = short().directory
    manifest = read_manifest(directory)
    del manifest["horizons"]
    store = RunStore(directory)
    store.write_manifest(manifest)
    store.close()
    assert [(h.first, h.epochs, h.grace) for h in short().horizons] == [(0, 9, 1)]
    assert [(h.first, h.epochs) for h in short(epochs=LONG).horizons] == [(0, 9), (8, 27)]
    assert yaml.safe_load(export(directory).read_text(encoding="utf-8"))["baseline"]["trial"] == 0


def test_epochs_that_the_space_had_chosen_stay_when_the_space_changes_its_mind(
    short: Callable[..., Plan],
) -> None:
    plan = short(epochs=0)
    assert plan.space.baseline.epochs != SHORT
    assert [h.epochs for h in plan.horizons] == [SHORT]
    assert {config.epochs for config in plan.preview} == {SHORT}


def test_when_the_time_was_up_the_summary_says_how_to_go_on(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, passed_s = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock() + passed_s[0])
    plan = planned(tmp_path, tiny_data, time_budget="1h")
    session = opened(plan)
    assert session.study.ask() is not None
    session.study.report(0, metrics(1, 0.25))
    passed_s[0] = 3600.0
    session.study.report(0, metrics(2, 0.5))
    session.close()
    console = Console(file=io.StringIO(), width=200)
    assert finish(plan, console, interrupted=False) == 0
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "The budget ended the trials: 1 of 8 began, of which 1 didn't finish." in told
    assert f"--resume run --out {tmp_path} --time-budget …" in told


def test_two_lengths_have_two_baselines_in_the_leaderboard(short: Callable[..., Plan]) -> None:
    plan = short(epochs=LONG)
    search(plan)
    console = Console(file=io.StringIO(), width=200)
    assert finish(plan, console, interrupted=False) == 0
    told = console.file.getvalue()  # type: ignore[attr-defined]
    rows = [line.split("│") for line in told.splitlines() if "baseline │" in line]
    assert sorted(row[6].strip() for row in rows) == ["27/27", "9/9"]
    best = max(r.last_val_top1 or 0 for r in read_trials(plan.directory).values())
    longer = read_trials(plan.directory)[8].last_val_top1
    assert f"val_top1 {best:.3f}" in told
    assert f"(baseline {longer:.3f})" in told


def test_trials_of_several_objectives_have_one_length(short: Callable[..., Plan]) -> None:
    plan = short()
    both = replace(plan.options, objectives="val_top1,latency_ms", epochs=LONG)
    with pytest.raises(ContinuationError, match="--epochs must be 9 when run goes on"):
        planned_horizons(both, make_proposer(plan), plan.directory, [])
    same = replace(both, epochs=SHORT)
    assert planned_horizons(same, make_proposer(plan), plan.directory, [])[1] == plan.horizons


def test_a_space_that_has_changed_is_known(short: Callable[..., Plan]) -> None:
    plan = short()
    saved = read_manifest(plan.directory)["preview"]
    assert same_beginning(saved, short(epochs=LONG).preview)
    assert not same_beginning([{**saved[0], "lr": 0.5}, *saved[1:]], plan.preview)
