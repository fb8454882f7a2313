"""No configuration is trained twice."""

from pathlib import Path

import optuna
import pytest

from results.records import StopReason, TrialState
from results.store import RunStore, read_trials
from search.monitoring.summary import explain_early_end
from search.space import Space
from search.study.duplicates import EXHAUSTED_AFTER, configuration_key
from search.study.optuna_journal import journal_storage
from search.study.proposer import Proposer
from search.study.study import Study
from tests.search.session_on_curves import play
from tests.search.study.test_study import frozen
from tests.search.study_on_curves import RULES, curve, metrics
from trainables.config import TrialConfig

SIX = Space(
    summary="six configurations",
    dataset="demo",
    baseline=TrialConfig(network="resnet10", lr=1e-3, dropout=0.1, epochs=9),
    suggest=lambda trial: {
        "lr": trial.suggest_categorical("lr", [1e-4, 1e-3, 1e-2]),
        "dropout": trial.suggest_float("dropout", 0.1, 0.2, step=0.1),
    },
)


def open_six(directory: Path, trials: int = 20) -> Study[TrialConfig]:
    return Study(
        proposer=Proposer(SIX, {"precision": "float32"}, 0),
        rules=RULES,
        trials=trials,
        store=RunStore(directory),
        storage=journal_storage(directory),
    )


def test_a_space_of_six_configurations_is_searched_once_and_the_search_ends(tmp_path):
    study = open_six(tmp_path / "run")
    play(study)
    assert study.exhausted()
    assert study.finished()
    assert "hasn't been tried" in explain_early_end(study)
    records = read_trials(tmp_path / "run")
    tried = {(r.config["lr"], r.config["dropout"]) for r in records.values()}
    assert len(records) == len(tried) == 6
    assert {len(study.epochs[n]) for n in records} <= set(range(1, 10))
    refused = [t for t in frozen(tmp_path / "run") if t.number not in records]
    assert len(refused) >= EXHAUSTED_AFTER
    assert {t.state for t in refused} == {optuna.trial.TrialState.FAIL}
    for trial in refused:
        assert records[trial.user_attrs["same_as"]].params == trial.params
    study.store.close()
    again = open_six(tmp_path / "run")  # more trials change nothing
    assert again.exhausted()
    assert again.ask() is None


def test_the_preview_shows_each_configuration_once():
    configs, _ = Proposer(SIX, {}, 0).preview(20)
    assert len({(c.lr, c.dropout) for c in configs}) == len(configs) == 6


def test_fewer_trials_than_configurations_are_all_trained(tmp_path):
    study = open_six(tmp_path / "run", trials=4)
    play(study)
    assert len(study.records) == 4
    assert not study.exhausted()
    assert explain_early_end(study) is None


@pytest.mark.parametrize("killed_after", [4, 12])
def test_a_search_killed_among_duplicates_proposes_the_same(tmp_path, killed_after):
    whole, cut = tmp_path / "whole" / "run", tmp_path / "cut" / "run"
    play(open_six(whole))
    study = open_six(cut)
    play(study, until_epochs=killed_after)
    study.store._lock.release()
    play(open_six(cut))
    assert read_trials(cut) == read_trials(whole)
    assert [t.params for t in frozen(cut)] == [t.params for t in frozen(whole)]


def test_a_failed_configuration_may_come_again_but_not_one_without_memory(tmp_path):
    study = open_six(tmp_path / "run")
    first, second = study.ask(), study.ask()
    study.fail(first.number, "RuntimeError: no disk")
    study.fail(second.number, "TrialMemoryError: 2 GiB", StopReason.MEMORY)
    study.store.close()
    study = open_six(tmp_path / "run")
    play(study)
    later = [r.config for n, r in study.records.items() if n > second.number]
    assert first.config.to_dict() in later
    assert second.config.to_dict() not in later
    assert len(later) == 5
    assert sum(r.state is TrialState.FAILED for r in study.records.values()) == 2


def test_a_running_configuration_is_not_proposed_beside_itself(tmp_path):
    study = open_six(tmp_path / "run")
    running = [study.ask() for _ in range(6)]
    assert len({(p.config.lr, p.config.dropout) for p in running}) == 6
    assert study.ask() is None
    assert not study.finished()
    for proposal in running:
        for epoch in curve(proposal.config):
            if study.report(proposal.number, epoch):
                break
    assert study.finished()


def test_what_makes_two_trials_the_same():
    config = TrialConfig(network="resnet10", optimizer="sgd", batch_size=64)
    params = {"optimizer": "sgd"}
    same = configuration_key(params, config)
    assert configuration_key(params, config.but(momentum=0.0, seed=3)) == same
    assert (
        configuration_key(params, config.but(micro_batch_size=32)) == same
    )  # since it ran out of memory
    assert configuration_key(params, config.but(momentum=0.5)) != same
    searched = configuration_key({"micro_batch_size": 32}, config.but(micro_batch_size=32))
    assert searched != configuration_key({"micro_batch_size": 16}, config.but(micro_batch_size=16))


def test_a_refused_proposal_teaches_nothing(tmp_path):
    study = open_six(tmp_path / "run")
    study.ask()
    study.report(0, metrics(1, 0.5))
    before = len(study._mirror.study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)))
    while study.ask():
        pass
    after = study._mirror.study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    assert len(after) == before
