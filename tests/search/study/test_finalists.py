"""Finalists, driven without Ray: who they are, in which order they train, and what remains."""

from pathlib import Path
from typing import Any

import pytest

from results.analysis.finalist_comparison import compare_finalists
from results.records import StopReason, TrainingId, TrialRecord, TrialState
from results.side_store import FINALIST_FILES, SideStore
from search.study.finalists import Finalists, choose_finalists, repeat_seed
from tests.search.finalists_on_curves import final_of, repeat
from tests.search.study_on_curves import curve, metrics, open_study


def trial(number: int, best: float | None, **more: Any) -> TrialRecord:
    values = {"state": TrialState.COMPLETE, "config": {"lr": number}} | more
    return TrialRecord(number=number, params={}, last_val_top1=best, epochs=9, **values)


def test_the_best_trials_and_the_baseline_are_chosen() -> None:
    trials = {
        0: trial(0, 0.50),
        1: trial(1, 0.70),
        2: trial(2, 0.60, state=TrialState.STOPPED, reason=StopReason.RUNG),
        3: trial(3, 0.99, state=TrialState.STOPPED, reason=StopReason.DIVERGED),
        4: trial(4, None, state=TrialState.FAILED),
        5: trial(5, 0.65, config={"lr": 1}),  # again what trial 1 was
        6: trial(6, 0.55),
    }
    assert choose_finalists(trials, 2) == [1, 2, 0]
    assert choose_finalists(trials, 9) == [1, 2, 6, 0]
    assert choose_finalists({0: trial(0, 0.9), 1: trial(1, 0.1)}, 1) == [
        1,
        0,
    ]  # the best one is compared too
    diverged = trial(0, 0.5, state=TrialState.STOPPED, reason=StopReason.DIVERGED)
    assert choose_finalists(trials | {0: diverged}, 1) == [1]
    assert choose_finalists({}, 3) == []
    longer = {
        7: trial(7, 0.72, config={"lr": 0, "epochs": 18}),  # the baseline, to another length
        8: trial(8, 0.71, config={"lr": 1, "epochs": 18}),  # and what trial 1 was
    }
    assert choose_finalists(trials | longer, 2) == [8, 2, 0]


def test_seeds_differ_between_repeats_and_studies_and_never_change() -> None:
    seeds = [repeat_seed(study, repeat) for study in (0, 1) for repeat in (1, 2, 3)]
    assert len(set(seeds)) == 6
    assert repeat_seed(0, 1) == 643545085


def test_every_finalist_has_the_same_fresh_seeds_at_full_length(tmp_path: Path) -> None:
    finalists = final_of(tmp_path / "run")
    order = choose_finalists(finalists.study.records, 2)
    assert len(order) == 3
    assert order[-1] == 0
    assert repeat(finalists) == [TrainingId(n, r) for r in (1, 2, 3) for n in order]
    records = FINALIST_FILES.read(tmp_path / "run")
    assert {r.epochs for r in records.values()} == {9}
    for r in (1, 2, 3):
        seed = repeat_seed(0, r)
        assert {records[TrainingId(n, r)].config["seed"] for n in order} == {seed}
        for n in order:
            assert records[TrainingId(n, r)].config == finalists.study.records[n].config | {
                "seed": seed
            }
    assert finalists.finished()
    assert finalists.ask() is None


def test_val_top1_is_the_last_epoch_s_and_no_rule_ends_a_training_early(tmp_path: Path) -> None:
    finalists = final_of(tmp_path / "run", count=1)
    first = finalists.ask()
    assert first is not None
    for epoch in range(1, 9):  # it overfits, and the last one of its rung
        assert finalists.report(first.training, metrics(epoch, 0.9 - epoch / 20, gap=0.8)) is None
    ending = finalists.report(first.training, metrics(9, 0.4))
    assert ending is not None
    assert ending.state is TrialState.COMPLETE
    record = FINALIST_FILES.read(tmp_path / "run")[first.training]
    assert (record.val_top1, record.wall_s) == (0.4, 13.5)


def test_while_trials_run_the_baseline_alone_is_repeated(tmp_path: Path) -> None:
    study = open_study(tmp_path / "run", trials=3)
    store = SideStore(FINALIST_FILES, tmp_path / "run")
    finalists = Finalists(study=study, store=store, count=1, repeats=2, seed=0)
    proposals = [study.ask() for _ in range(3)]
    assert study.ask() is None
    assert finalists.ask() is None  # the baseline hasn't ended either
    assert finalists.waiting()
    for number in (0, 1):
        for epoch in curve(proposals[number].config):  # type: ignore[union-attr]
            study.report(number, epoch)
    assert [p.training for p in (finalists.ask(), finalists.ask()) if p] == [
        TrainingId(0, 1), TrainingId(0, 2),
    ]  # fmt: skip
    assert finalists.ask() is None
    assert finalists.waiting()
    assert not finalists.finished()
    study.fail(2, "RuntimeError: out of paper")
    assert not finalists.waiting()
    last = finalists.ask()
    assert last is not None
    assert last.training == TrainingId(1, 1)


def test_none_are_asked_for_by_default(tmp_path: Path) -> None:
    finalists = final_of(tmp_path / "run", count=0)
    assert finalists.finished()
    assert not finalists.waiting()
    assert finalists.ask() is None
    assert finalists.expected_s() == []
    assert not (tmp_path / "run" / "finalists.jsonl").exists()


def test_a_lucky_trial_loses_to_one_that_is_better_on_average(tmp_path: Path) -> None:
    finalists = final_of(tmp_path / "run")
    lucky, better, baseline = choose_finalists(finalists.study.records, 2)
    ends = {lucky: [0.5, 0.4, 0.4], better: [0.6, 0.5, 0.6], baseline: [0.4, 0.4, 0.4]}
    while (proposal := finalists.ask()) is not None:
        end = ends[proposal.number][proposal.training.repeat - 1]  # type: ignore[operator]
        for epoch in range(1, 10):
            finalists.report(proposal.training, metrics(epoch, end))
    outcome = compare_finalists(finalists.records.values())
    assert outcome is not None
    assert outcome.winner is not None
    assert outcome.winner.trial == better
    assert outcome.winner.top1 is not None
    assert outcome.winner.top1.mean == pytest.approx(1.7 / 3)


def test_one_repeat_that_diverges_or_fails_ends_alone(tmp_path: Path) -> None:
    finalists = final_of(tmp_path / "run", count=1, repeats=2)
    first, second = finalists.ask(), finalists.ask()
    assert first is not None
    assert second is not None
    ending = finalists.report(first.training, metrics(1, 0.1, loss=None))
    assert ending is not None
    assert ending.reason is StopReason.DIVERGED
    finalists.fail(second.training, "Traceback …\n  frames\nRuntimeError: no disk")
    repeat(finalists)
    records = FINALIST_FILES.read(tmp_path / "run")
    assert records[first.training].val_top1 is None
    assert records[second.training].detail == "RuntimeError: no disk"
    assert finalists.finished()
    outcome = compare_finalists(records.values())
    assert outcome is not None
    assert outcome.winner is None  # each of both had an accident


def test_expected_times_by_hand(tmp_path: Path) -> None:
    """Made epochs take 1.5 s: nine of them 13.5, for two trials and the baseline, twice."""
    finalists = final_of(tmp_path / "run", count=2, repeats=2)
    assert finalists.expected_s() == [13.5] * 6
    assert finalists.slowest_epoch_s() == 1.5
    epochs = sum(record.epochs for record in finalists.study.records.values())
    assert finalists.spent_s() == pytest.approx(1.5 * epochs)
    repeat(finalists)
    assert finalists.expected_s() == [13.5] * 6
    assert finalists.spent_s() == pytest.approx(1.5 * (epochs + 6 * 9))


def test_those_to_come_are_expected_to_take_as_long_as_those_seen(tmp_path: Path) -> None:
    study = open_study(tmp_path / "run", trials=9)
    store = SideStore(FINALIST_FILES, tmp_path / "run")
    finalists = Finalists(study=study, store=store, count=3, repeats=2, seed=0)
    assert finalists.expected_s() == []
    study.ask()
    study.report(0, metrics(1, 0.3))
    assert finalists.expected_s() == [13.5] * 8
