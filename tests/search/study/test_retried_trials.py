"""Trials that break off: tried once more, and what is learnt where memory was wanting."""

from collections.abc import Iterator

import optuna
import pytest
from optuna.storages import InMemoryStorage

from results.records import StopReason, TrialState
from results.store import read_trials
from search.early_stopping.decision import Rules
from search.space import Space
from search.study.proposer import Proposer
from search.study.store import MemoryStore
from search.study.study import Study
from tests.search.study.test_study import frozen
from tests.search.study_on_curves import metrics, open_study
from trainables.config import TrialConfig
from trainables.training.micro_batches import halve_micro_batch

ERROR = "Traceback …\n  frames\nRuntimeError: no disk"
WANT = "Traceback …\n  frames\nTrialMemoryError: 2 GiB"


def test_a_trial_that_breaks_off_is_tried_once_more_from_where_it_was(tmp_path):
    study = open_study(tmp_path / "run", trials=3)
    config = study.ask().config
    study.report(0, metrics(1, 0.3))
    assert study.may_retry(0)
    again = study.retry(0, ERROR, config)
    assert (again.number, again.config, again.epochs_done) == (0, config, 1)
    assert not study.may_retry(0)
    assert study.records[0].state is TrialState.RUNNING
    assert study.records[0].retried == "RuntimeError: no disk"
    assert study.report(0, metrics(2, 0.4)) is None
    study.fail(0, "Traceback …\n  frames\nRuntimeError: still no disk")
    record = read_trials(tmp_path / "run")[0]
    assert (record.state, record.reason, record.epochs) == (TrialState.FAILED, None, 2)
    assert (record.retried, record.detail) == (
        "RuntimeError: no disk",
        "RuntimeError: still no disk",
    )
    kept = (tmp_path / "run" / "errors" / "0000.txt").read_text(encoding="utf-8")
    assert kept.index("RuntimeError: no disk") < kept.index("RuntimeError: still no disk")


def test_a_retry_counts_after_a_kill_and_a_kill_is_no_failure(tmp_path):
    study = open_study(tmp_path / "run", trials=3)
    first, second = study.ask(), study.ask()
    lighter = halve_micro_batch(first.config)
    study.retry(first.number, WANT, lighter)
    study.store._lock.release()  # what the system does for a killed process
    resumed = open_study(tmp_path / "run", trials=3)
    assert not resumed.may_retry(first.number)
    assert resumed.may_retry(second.number)
    goes_on = resumed.ask()
    assert goes_on.config == lighter
    assert goes_on.config.micro_batch_size == first.config.batch_size // 2
    assert goes_on.config.batch_size == first.config.batch_size


def test_want_of_memory_is_a_violated_constraint_and_other_failures_are_none(tmp_path):
    study = open_study(tmp_path / "run", trials=3)
    for number in range(3):
        study.ask()
        study.report(number, metrics(1, 0.5 + 0.1 * number))  # none is stopped
    study.fail(0, WANT, StopReason.MEMORY)
    study.fail(1, ERROR)
    told = frozen(tmp_path / "run")
    assert [trial.constraints for trial in told] == [{"memory": 1.0}, {}, {}]
    assert [trial.state for trial in told[:2]] == [
        optuna.trial.TrialState.PRUNED,  # TPE passes over what is told as FAIL
        optuna.trial.TrialState.FAIL,
    ]
    record = read_trials(tmp_path / "run")[0]
    assert (record.state, record.reason) == (TrialState.FAILED, StopReason.MEMORY)
    assert not record.trusted


def test_a_kill_before_optuna_hears_of_it_loses_no_constraint(tmp_path, recwarn):
    study = open_study(tmp_path / "run", trials=3)
    study.ask()
    trial = study._mirror._asked[0]
    study._mirror.tell = lambda *_: None
    study.fail(0, WANT, StopReason.MEMORY)
    trial.set_constraint("memory", 1.0)  # half told
    study.store._lock.release()
    open_study(tmp_path / "run", trials=3)
    told = frozen(tmp_path / "run")[0]
    assert told.constraints == {"memory": 1.0}
    assert told.state is optuna.trial.TrialState.PRUNED
    assert not [w for w in recwarn if "already set" in str(w.message)]


LIMIT = 64 * 96
"""batch_size × image_size above which the made-up machine below has too little memory."""


def sizes(trial: optuna.Trial) -> dict[str, int]:
    return {
        "batch_size": trial.suggest_int("batch_size", 16, 256, log=True),
        "image_size": trial.suggest_int("image_size", 32, 224),
    }


def proposed_above_the_limit(*, told: bool, seed: int) -> Iterator[bool]:
    """Of the twelve trials after twenty, whether each is too large. Size makes none better."""
    baseline = TrialConfig(network="resnet10", batch_size=16, image_size=32, epochs=1)
    space = Space(summary="sizes", dataset="demo", baseline=baseline, suggest=sizes)
    study = Study(
        proposer=Proposer(space, {}, seed),
        rules=Rules(epochs=1, grace=1, factor=3, max_gap=0.0, gap_patience=3, plateau_patience=0,
                    num_classes=20),
        trials=32,
        store=MemoryStore(),
        storage=InMemoryStorage(),
    )  # fmt: skip
    while (proposal := study.ask()) is not None:
        batch, side = proposal.config.batch_size, proposal.config.image_size
        too_large = batch * side > LIMIT
        if len(study.records) > 20:
            yield too_large
        if too_large:
            study.fail(proposal.number, WANT, StopReason.MEMORY if told else None)
            study._failed_in_a_row = 0  # not what is tested here
        else:
            study.report(proposal.number, metrics(1, 0.5 + 0.01 * ((7 * batch + 13 * side) % 10)))


def test_proposals_avoid_what_ran_out_of_memory():
    """Of 24 each. A sampler that isn't told looks where it has seen no results."""
    above = {
        told: sum(sum(proposed_above_the_limit(told=told, seed=seed)) for seed in range(2))
        for told in (True, False)
    }
    assert above[True] < 0.5 * above[False], above


@pytest.mark.parametrize("batch_size", [8, 15])
def test_the_smallest_batches_are_tried_again_as_they_are(batch_size):
    config = TrialConfig(network="resnet10", batch_size=batch_size)
    lighter = halve_micro_batch(config)
    assert (lighter and lighter.micro_batch_size) == (8 if batch_size == 15 else None)
