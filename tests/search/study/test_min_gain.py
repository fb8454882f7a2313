"""A search that ends by `--min-gain`."""

import re
from dataclasses import replace

from optuna.storages import InMemoryStorage

from results.analysis.expected_gain import latest_gain
from results.records import StopReason, TrialState
from results.store import RunStore, read_manifest, read_trials
from search.monitoring.summary import explain_early_end
from search.samplers.gain_watch import GainWatch
from search.samplers.random_sampler import make_random_sampler
from search.study.finalists import Finalists
from search.study.optuna_journal import open_journal
from search.study.proposer import Proposer
from search.study.store import MemoryStore
from search.study.study import Study
from search.study.supervisor import Supervisor
from tests.search.session_on_curves import opened, planned, play
from tests.search.study_on_curves import DEMO, RULES, curve, metrics

LONG = 400.0
"""Seconds of an epoch: nine of them take an hour of one device."""

EARLY = 0.08
"""With this gain a search ends after about a dozen trials."""


def slow(config):
    return [replace(epoch, wall_s=LONG) for epoch in curve(config)]


def open_study(directory, min_gain=0.0, *, trials=60, devices=1.0, store=None, storage=None):
    fixed = {"epochs": 9, "precision": "float32"}
    proposer = Proposer(DEMO, fixed, 0, make=make_random_sampler)
    return Study(
        proposer=proposer,
        rules=RULES,
        trials=trials,
        store=store or RunStore(directory),
        storage=storage or open_journal(directory),
        gains=GainWatch(min_gain, devices=devices),
    )


def in_memory(min_gain, **more):
    return open_study(None, min_gain, store=MemoryStore(), storage=InMemoryStorage(), **more)


def test_a_search_ends_once_another_hour_would_gain_less_than_asked():
    study = in_memory(0.02)
    play(study, curve=slow)
    assert study.finished()
    assert study.gains.enough()
    assert 10 <= len(study.records) < 60
    assert study.gains.latest.hour_upper < 0.02
    earlier = [r.gain["hour_upper"] for r in study.records.values() if r.gain and r.gain["hour"]]
    assert sum(upper < 0.02 for upper in earlier) == 1
    assert all(r.state is not TrialState.RUNNING for r in study.records.values())


def test_without_the_option_nothing_changes_but_the_estimates_in_the_records():
    watched, ended = in_memory(0.0), in_memory(0.02)
    play(watched, curve=slow)
    play(ended, curve=slow)
    assert len(watched.records) == 60
    first = {n: watched.records[n] for n in ended.records}
    assert first == ended.records
    assert [r.gain is None for r in watched.records.values()] == [n < 9 for n in range(60)]


def test_an_hour_of_a_trial_on_two_devices_is_half_as_long():
    one, two = in_memory(0.0, trials=30), in_memory(0.0, trials=30, devices=2.0)
    play(one, curve=slow)
    play(two, curve=slow)
    assert two.gains.latest.hour < one.gains.latest.hour
    assert two.gains.latest.ten_upper == one.gains.latest.ten_upper


def test_there_is_no_gain_of_an_hour_that_brings_more_trials_than_have_begun():
    study = in_memory(0.5, trials=30)
    play(study)  # 1.5 s an epoch
    assert study.gains.latest.hour is None
    assert study.gains.latest.ten > 0
    assert len(study.records) == 30


def test_running_trials_end_by_their_rules_after_nothing_more_is_proposed():
    study = in_memory(0.02)
    running = {}
    while not study.gains.enough():
        while len(running) < 2:
            proposal = study.ask()
            running[proposal.number] = iter(slow(proposal.config))
        for number, epochs in list(running.items()):
            if study.report(number, next(epochs)):
                del running[number]
    (last,) = running
    assert study.ask() is None
    assert not study.finished()
    while study.report(last, next(running[last])) is None:
        pass
    assert study.records[last].reason in (None, StopReason.RUNG)
    assert study.records[last].gain is None
    assert study.finished()


def test_a_killed_search_ends_at_the_same_trial_with_the_same_estimate(tmp_path):
    whole = in_memory(EARLY)
    play(whole, curve=slow)
    for epochs in (20, sum(r.epochs for r in whole.records.values())):
        cut = tmp_path / str(epochs) / "run"
        study = open_study(cut, EARLY)
        play(study, epochs, curve=slow)
        study.store._lock.release()  # what the system does for a killed process
        again = open_study(cut, EARLY)
        play(again, curve=slow)
        again.store.close()
        assert again.records == whole.records
        assert read_trials(cut) == whole.records


def test_a_search_that_has_ended_goes_on_with_a_smaller_gain_or_none(tmp_path):
    study = open_study(tmp_path / "run", EARLY)
    play(study, curve=slow)
    study.store.close()
    ended = len(study.records)
    for min_gain, more in ((EARLY, False), (1.1 * EARLY, False), (0.001, True), (0.0, True)):
        again = open_study(tmp_path / "run", min_gain)
        assert again.finished() is not more
        assert (again.ask() is not None) is more
        again.store._lock.release()
    assert latest_gain(study.records.values()).ended == ended


def test_a_search_that_has_ended_goes_on_with_the_threshold_that_it_names(tmp_path):
    study = open_study(tmp_path / "run", EARLY)
    play(study, curve=slow)
    study.store.close()
    found = re.search(r"resume it with --min-gain (\S+) or less, or 0\.$", explain_early_end(study))
    again = open_study(tmp_path / "run", float(found[1]))
    assert 0 < float(found[1]) < EARLY
    assert again.ask() is not None
    again.store._lock.release()


def test_no_end_is_named_where_all_trials_had_begun():
    study = in_memory(EARLY)
    play(study, curve=slow)
    assert explain_early_end(study)
    study.trials = len(study.records)
    assert study.gains.enough()
    assert explain_early_end(study) is None


def test_an_estimate_of_other_devices_or_of_another_space_ends_nothing():
    records = list(_ended().records.values())
    for watch, ends in (
        (GainWatch(0.02), True),
        (GainWatch(0.02, unit="GPU-hour"), False),
        (GainWatch(0.02, since=len(records)), False),
    ):
        watch.recall(records, 0)
        assert watch.enough() is ends


def test_only_trials_of_the_present_length_count_for_how_many_an_hour_has():
    study = in_memory(0.0, trials=30)
    play(study, curve=slow)
    shown, evidence, marks = study._look()
    quick = [
        (record, [replace(each, wall_s=1.0) for each in epochs] if record.number < 15 else epochs)
        for record, epochs in shown
    ]
    hours = []
    for trials in (shown, quick):
        watch = GainWatch()
        watch.recall([], 15)
        hours.append(watch.estimate(trials, evidence, marks)["hour"])
    assert hours[0] == hours[1]
    assert GainWatch().estimate(quick, evidence, marks)["hour"] != hours[0]


def test_estimates_are_in_the_order_of_their_epochs():
    study = in_memory(0.0, trials=20)
    play(study, curve=slow)
    gains = [record.gain for record in study.records.values() if record.gain]
    assert [gain["epochs"] for gain in gains] == sorted({gain["epochs"] for gain in gains})
    assert gains[-1]["epochs"] == sum(len(epochs) for epochs in study.epochs.values())


def test_longer_trainings_are_not_ended_by_the_gain_of_shorter_ones():
    records = [r for r in _ended().records.values() if r.gain]
    watch = GainWatch(0.02)
    watch.recall(records, 0)
    assert watch.enough()
    watch.recall(records, max(r.number for r in records) + 1)
    assert not watch.enough()
    study = _ended()
    assert watch.estimate(*study._look()) is None


def test_earlier_runs_trials_do_not_make_up_for_own_ones():
    study = in_memory(0.0, trials=12)
    play(study, curve=slow)
    shown, evidence, marks = study._look()
    assert GainWatch().estimate(shown[:9], [*evidence, *evidence[:9]], marks) is None
    assert GainWatch().estimate(shown[:10], [*evidence, *evidence[:10]], marks) is not None


def test_the_manifest_has_the_reason_for_the_end(tmp_path, tiny_data):
    plan = planned(tmp_path, tiny_data, {"min_gain": "0.5"}, name="run", trials=20)
    session = opened(plan)
    play(session.study, curve=slow)
    assert session.finished()
    assert len(session.study.records) < 20
    session.close()
    (entry,) = read_manifest(plan.directory)["sessions"]
    assert entry["ended_by"].endswith("points of val_top1 (90 %), less than --min-gain 0.5")
    assert "another core-hour" in explain_early_end(session.study)


def _ended():
    study = in_memory(0.02)
    play(study, curve=slow)
    return study


class _Repeats(MemoryStore):
    def records(self):
        return {}

    def add(self, record):
        """Does nothing with the record."""


def test_finalists_follow_a_search_that_ends_by_its_gain():
    study = _ended()
    finalists = Finalists(study=study, store=_Repeats(), count=1, repeats=2, seed=0)
    supervisor = Supervisor(study, finalists)
    assert not supervisor.finished()
    trained = 0
    while (proposal := supervisor.propose()) is not None:
        trained += proposal.training.is_finalist
        for epoch in slow(proposal.config):
            supervisor.epoch(proposal.training, epoch)
    assert trained == 4
    assert supervisor.finished()


def test_a_trial_that_ends_while_records_are_replayed_hides_no_epoch_of_others(tmp_path):
    """A budget forestalls the rung's decision on trial 1; trial 2 then goes on to its end."""
    rules = replace(RULES, grace=1)
    fixed = {"epochs": 9, "precision": "float32"}

    def opened_with(left):
        return Study(
            proposer=Proposer(DEMO, fixed, 0, make=make_random_sampler),
            rules=rules,
            trials=4,
            store=RunStore(tmp_path / "run"),
            storage=open_journal(tmp_path / "run"),
            time_left=lambda: left[0],
        )

    left = [9.0]
    study = opened_with(left)
    for _ in range(3):
        study.ask()
    for number, value in ((0, 0.8), (2, 0.9)):
        study.report(number, metrics(1, value))
    left[0] = 0.0
    assert study.report(1, metrics(1, 0.1)).reason is StopReason.BUDGET
    left[0] = 9.0
    for epoch in range(2, 10):
        study.report(2, metrics(epoch, 0.9 + epoch / 100))
    assert study.records[2].state is TrialState.COMPLETE
    study.store.close()

    values = {}
    for session in (1, 2):
        again = opened_with([9.0])
        assert again.records[1].reason is StopReason.RUNG
        values[session] = [each.values for each in again._evidence()]
        again.store.close()
    assert values[1] == values[2]
    assert values[1][2] == {1: 0.9, 3: 0.93, 9: 0.99}
