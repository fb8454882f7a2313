import errno
import json
import os
from dataclasses import replace

import optuna
import pytest

from results.analysis.searched_ranges import Prior
from results.records import StopReason, TrialState
from results.store import read_epochs, read_trials
from search.study.optuna_journal import journal_storage
from search.study.proposer import Proposer
from tests.search.session_on_curves import play
from tests.search.study_on_curves import DEMO, RULES, curve, metrics, open_study
from trainables.config import ConfigError


def lines(directory, name):
    return (directory / name).read_text(encoding="utf-8").splitlines()


def outcome(directory):
    """Everything that a search has decided, as it stands on disk."""
    trials = {n: (r.params, r.state, r.reason, r.epochs) for n, r in read_trials(directory).items()}
    return trials, list(read_epochs(directory))


def frozen(directory, name=None):
    storage = journal_storage(directory)
    return optuna.load_study(study_name=name or directory.name, storage=storage).get_trials()


def test_the_baseline_comes_first_and_is_never_stopped_early(tmp_path):
    study = open_study(tmp_path / "run", trials=6)
    first = study.ask()
    assert first.number == 0
    baseline = study._proposer.space.baseline
    assert first.config == baseline.but(epochs=9, precision="float32")
    second = study.ask()
    for epoch in range(1, 10):
        study.report(second.number, metrics(epoch, 0.9))
        ending = study.report(0, metrics(epoch, 0.1, gap=0.8))
        assert (ending is None) == (epoch < 9)
    assert study.records[0].state is TrialState.COMPLETE


@pytest.mark.parametrize("believed", [True, False])
def test_what_the_space_s_author_believes_comes_second_and_no_rung_stops_it(tmp_path, believed):
    """Only without the prior does the rung stop the same accuracies; they still may overfit."""
    priors = {"flip": Prior(True, 0.5), "crop": Prior(0.0625, 0.5)} if believed else {}
    study = open_study(tmp_path / "run", trials=6, space=replace(DEMO, prior=priors))
    asked = [study.ask() for _ in range(4)]
    assert (asked[1].config == asked[0].config.but(flip=True, crop=0.0625)) == believed
    for number in (0, 2, 3):
        study.report(number, metrics(1, 0.9))
    ending = study.report(1, metrics(1, 0.1, gap=0.8))
    assert (ending and ending.reason) == (None if believed else StopReason.RUNG)
    for epoch in range(2, 7) if believed else ():
        ending = study.report(1, metrics(epoch, 0.1, gap=0.8))
    assert ending.reason == (StopReason.OVERFITTING if believed else StopReason.RUNG)


def test_every_trial_ends_with_a_reason_and_several_before_their_last_epoch(tmp_path):
    study = open_study(tmp_path / "run", trials=12)
    play(study)
    assert study.finished()
    assert len(study.records) == 12
    stopped = [r for r in study.records.values() if r.state is TrialState.STOPPED]
    assert len(stopped) >= 4
    assert {r.reason for r in stopped} == {StopReason.RUNG}
    assert {r.epochs for r in stopped} <= {1, 3}


def test_optuna_hears_pruned_and_not_complete_with_every_epoch(tmp_path):
    study = open_study(tmp_path / "run", trials=12)
    play(study)
    for record, told in zip(study.records.values(), frozen(tmp_path / "run"), strict=True):
        assert len(told.intermediate_values) == record.epochs
        if record.state is TrialState.COMPLETE:
            assert told.state is optuna.trial.TrialState.COMPLETE
            assert told.value == record.best_val_top1
        else:
            assert told.state is optuna.trial.TrialState.PRUNED


@pytest.mark.parametrize("killed_after", [1, 7, 16, 23])
def test_a_killed_search_goes_on_to_the_trials_of_an_uninterrupted_one(tmp_path, killed_after):
    whole = tmp_path / "whole" / "run"
    play(open_study(whole))
    cut = tmp_path / "cut" / "run"
    study = open_study(cut)
    play(study, until_epochs=killed_after)
    study.store._lock.release()  # what the system does for a killed process
    play(open_study(cut))
    assert outcome(cut) == outcome(whole)
    assert [t.params for t in frozen(cut)] == [t.params for t in frozen(whole)]
    assert [t.state for t in frozen(cut)] == [t.state for t in frozen(whole)]


def test_a_kill_between_recording_an_epoch_and_telling_optuna_changes_nothing(tmp_path):
    whole = tmp_path / "whole" / "run"
    play(open_study(whole))
    cut = tmp_path / "cut" / "run"
    study = open_study(cut)
    proposal = study.ask()
    for epoch in curve(proposal.config):
        study.store.add_epoch(0, epoch)  # all nine recorded, none decided on
    study.store._lock.release()
    resumed = open_study(cut)
    assert resumed.records[0].state is TrialState.COMPLETE
    play(resumed)
    assert outcome(cut) == outcome(whole)


def test_a_kill_between_asking_optuna_and_recording_loses_no_number(tmp_path):
    study = open_study(tmp_path / "run", trials=4)
    study.ask()
    study._mirror.study.sampler = study._proposer.sampler(1)
    study._mirror.study.ask()  # trial 1 exists for Optuna alone
    study.store._lock.release()
    resumed = open_study(tmp_path / "run", trials=4)
    play(resumed)
    assert sorted(resumed.records) == [0, 1, 2, 3]
    assert len(frozen(tmp_path / "run")) == 4


def test_a_torn_last_line_is_dropped_and_its_epoch_trained_again(tmp_path):
    whole = tmp_path / "whole" / "run"
    play(open_study(whole))
    cut = tmp_path / "cut" / "run"
    study = open_study(cut)
    play(study, until_epochs=5)
    study.store._lock.release()
    path = cut / "epochs.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    play(open_study(cut))
    assert outcome(cut) == outcome(whole)


def test_a_finished_study_goes_on_with_more_trials(tmp_path):
    study = open_study(tmp_path / "run", trials=5)
    play(study)
    study.store.close()
    more = open_study(tmp_path / "run", trials=8)
    assert not more.finished()
    play(more)
    whole = tmp_path / "whole" / "run"
    play(open_study(whole, trials=8))
    assert outcome(tmp_path / "run") == outcome(whole)


def test_an_epoch_reported_twice_counts_once(tmp_path):
    study = open_study(tmp_path / "run")
    study.ask()
    study.report(0, metrics(1, 0.3))
    study.report(0, metrics(1, 0.3))
    assert len(lines(tmp_path / "run", "epochs.jsonl")) == 1
    assert study.epochs[0][0].val_top1 == 0.3


def test_a_failed_trial_keeps_its_error_and_the_search_goes_on(tmp_path):
    study = open_study(tmp_path / "run", trials=3)
    study.ask()
    study.fail(0, "Traceback …\n  frames\nRuntimeError: out of paper")
    play(study)
    records = read_trials(tmp_path / "run")
    assert records[0].state is TrialState.FAILED
    assert records[0].detail == "RuntimeError: out of paper"
    assert "frames" in (tmp_path / "run" / "errors" / "0000.txt").read_text(encoding="utf-8")
    assert sorted(records) == [0, 1, 2]
    assert frozen(tmp_path / "run")[0].state is optuna.trial.TrialState.FAIL


def test_a_full_disk_in_the_middle_of_a_proposal_is_no_fault_of_the_space(tmp_path):
    """Optuna writes each parameter to its journal."""
    study = open_study(tmp_path / "run", trials=3)
    backend = study._mirror.study._storage._backend
    write, written = backend.append_logs, []

    def full(logs):
        written.append(logs)
        if len(written) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(logs)

    backend.append_logs = full
    with pytest.raises(OSError, match="No space left"):
        study.ask()
    study.store.close()
    assert read_trials(tmp_path / "run") == {}
    assert open_study(tmp_path / "run", trials=3).ask().number == 0


def test_a_kill_while_a_broken_configuration_is_refused_loses_no_run(tmp_path, monkeypatch):
    """A trial without a configuration is recorded once, as failed: it couldn't be restored."""
    study = open_study(tmp_path / "run", trials=3)
    propose = study._proposer.propose

    def broken(trial):
        if trial.number == 1:
            raise ConfigError(["lr must be > 0, but got lr=-0.1."])
        return propose(trial)

    def killed(number, text):
        raise KeyboardInterrupt

    monkeypatch.setattr(Proposer, "propose", lambda self, trial: broken(trial))
    study.store.add_error = killed
    study.ask()
    with pytest.raises(KeyboardInterrupt):
        study.ask()
    study.store.close()
    assert list(read_trials(tmp_path / "run")) == [0]
    again = open_study(tmp_path / "run", trials=3)
    assert [again.ask().number, again.ask().number] == [0, 2]
    assert read_trials(tmp_path / "run")[1].detail == "lr must be > 0, but got lr=-0.1."


def test_a_diverged_trial_is_a_state_and_not_a_number(tmp_path):
    study = open_study(tmp_path / "run", trials=2)
    study.ask()
    ending = study.report(0, metrics(1, 0.05, loss=None))
    assert ending.reason is StopReason.DIVERGED
    assert "NaN" not in "".join(lines(tmp_path / "run", "epochs.jsonl"))
    assert json.loads(lines(tmp_path / "run", "epochs.jsonl")[0])["train_loss"] is None
    assert study.rungs.recorded()[1] == 0


@pytest.mark.parametrize("ending", ["stopped", "complete", "failed"])
def test_an_ended_trial_leaves_no_checkpoint(tmp_path, ending):
    study = open_study(tmp_path / "run", trials=3)
    study.ask()
    checkpoint = study.store.checkpoint(0)
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"state")
    if ending == "failed":
        study.fail(0, "RuntimeError: no disk")
    elif ending == "stopped":
        study.report(0, replace(metrics(1, 0.1), train_loss=None))
    else:
        for epoch in range(1, study.rules.epochs + 1):
            assert checkpoint.exists()
            study.report(0, metrics(epoch, 0.1))
    assert study.records[0].state.value == ending
    assert not checkpoint.exists()


def test_after_failures_in_a_row_nothing_more_is_proposed(tmp_path):
    study = open_study(tmp_path / "run", trials=20)
    for number in range(4):
        study.ask()
        study.fail(number, "RuntimeError: no disk")
    study.report(study.ask().number, metrics(1, 0.3))  # one that works starts the count anew
    for number in range(5, 10):
        assert not study.gave_up()
        study.ask()
        study.fail(number, "RuntimeError: no disk")
    assert study.gave_up()
    assert study.ask() is None
    assert not study.finished()
    study.store.close()
    assert open_study(tmp_path / "run", trials=20).ask() is not None  # mended and resumed


def test_a_checkpoint_that_outlived_its_trial_goes_when_the_run_is_resumed(tmp_path):
    study = open_study(tmp_path / "run", trials=2)
    study.ask()
    study.fail(0, "it broke")
    path = study.store.checkpoint(0)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"killed between the record and the removal")
    study.store.close()
    open_study(tmp_path / "run", trials=2)
    assert not path.exists()


def test_the_checkpoint_of_an_ended_trial_is_removed(tmp_path):
    study = open_study(tmp_path / "run")
    study.ask()
    path = study.store.checkpoint(0)
    path.parent.mkdir()
    path.write_bytes(b"state")
    study.report(0, metrics(1, 0.3))
    assert path.exists()
    study.fail(0, "it broke")
    assert not path.exists()


def test_rules_can_be_turned_off(tmp_path):
    from dataclasses import replace

    study = open_study(tmp_path / "run", rules=replace(RULES, max_gap=0.0, grace=9))
    study.ask()
    other = study.ask()
    for epoch in range(1, 9):
        assert study.report(other.number, metrics(epoch, 0.5, gap=0.9)) is None


def test_a_trial_that_overfits_is_stopped_and_the_baseline_is_not(tmp_path):
    study = open_study(tmp_path / "run", rules=replace(RULES, grace=9, gap_patience=2))
    both = [study.ask(), study.ask()]
    for epoch, val in enumerate((0.3, 0.5, 0.4), 1):
        assert [study.report(p.number, metrics(epoch, val, gap=0.3)) for p in both] == [None, None]
    baseline, other = (study.report(p.number, metrics(4, 0.38, gap=0.3)) for p in both)
    assert baseline is None
    assert other.reason is StopReason.OVERFITTING
    assert other.detail == "gap 0.300 > 0.2 for 2 epochs, no better val_top1 for 2"
