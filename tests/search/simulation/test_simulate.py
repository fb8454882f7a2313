from dataclasses import replace

import numpy as np
import pytest

from results.analysis.rung_values import quiet_optuna
from results.records import StopReason, TrainingId, TrialState
from search.early_stopping.decision import Ending
from search.session import session
from search.simulate import main
from search.simulation import points, simulator
from search.simulation.points import Point, PointProposer
from search.simulation.policies import POLICIES
from search.simulation.recorded_curves import read_run_curves
from search.simulation.simulator import RegretScale, highest_value
from search.study.proposer import Proposal, Proposer
from search.study.store import MemoryStore
from search.study.study import Study
from tests.search.curves_for_simulation import Listed, made, rules
from tests.search.session_on_curves import play
from tests.search.study_on_curves import RULES, open_study


def ends(trace):
    return [(event.time_s, event.trial, event.epoch) for event in trace.events]


def test_two_workers_train_side_by_side_and_ask_again_when_free():
    curves = made([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], epoch_s=[2.0, 3.0, 0.5])
    trace = simulator.simulate(Listed(curves, [0, 1, 2]), curves, workers=2, epochs=99)
    assert ends(trace) == [
        (2.0, 0, 1),
        (3.0, 1, 1),
        (4.0, 0, 2),  # worker free: trial 2 begins
        (4.5, 2, 1),
        (5.0, 2, 2),
        (6.0, 1, 2),
    ]
    assert [event.val for event in trace.events] == [0.1, 0.3, 0.2, 0.5, 0.6, 0.4]


def test_a_stopped_trial_frees_its_worker_and_the_budget_ends_the_search():
    curves = made([[0.1, 0.2, 0.3]] * 2, epoch_s=[1.0, 4.0])
    policy = Listed(curves, [0, 0, 1], stop={0: 2})
    trace = simulator.simulate(policy, curves, workers=1, epochs=6)
    assert ends(trace) == [(1.0, 0, 1), (2.0, 0, 2), (3.0, 1, 1), (4.0, 1, 2), (5.0, 1, 3),
                           (9.0, 2, 1)]  # fmt: skip
    assert policy.asked == 3


def test_epochs_that_end_together_are_reported_in_the_order_in_which_they_began():
    curves = made([[0.1, 0.2]] * 3)
    trace = simulator.simulate(Listed(curves, [0, 1, 2]), curves, workers=3, epochs=99)
    assert [event.trial for event in trace.events] == [0, 1, 2, 0, 1, 2]


def test_a_paused_trial_goes_on_where_it_stopped():
    class Pausing:
        """One trial, paused after its first epoch and taken up again at once."""

        def __init__(self):
            self.todo = [0, 1]

        def ask(self):
            done = self.todo.pop(0) if self.todo else None
            point = Point({"x": 0.0})
            return (
                None
                if done is None
                else Proposal(training=TrainingId(0), config=point, epochs_done=done)
            )

        def report(self, number, metrics):
            return True if metrics.epoch == 1 else None

    trace = simulator.simulate(Pausing(), made([[0.1, 0.2, 0.3]]), workers=1, epochs=99)
    assert ends(trace) == [(1.0, 0, 1), (2.0, 0, 2), (3.0, 0, 3)]


def test_asha_stops_the_trials_that_a_hand_would_stop(monkeypatch):
    # Rungs at 1 and 3 of 9 epochs. One worker, trials in the order of their rows.
    finals = [0.5, 0.9, 0.2, 0.6, 0.95, 0.1]
    curves = made([[final] * 9 for final in finals])
    order = iter(np.linspace(0, 1, 6))
    monkeypatch.setattr(points, "suggest", lambda trial, name, each: next(order))
    study = POLICIES["ours"](curves, rules(9, grace=1), 0)
    simulator.simulate(study, curves, workers=1, epochs=9 + 9 + 1 + 3 + 9)
    # 0.2: 2 of 3 are better. 0.6: 1 of 4 is better, so it passes the first rung; at 3 epochs
    # 1 of 3 is better, and 1 · 3 < 3 doesn't hold. 0.95 is best.
    ended = {n: (r.epochs, r.reason) for n, r in study.records.items() if r.epochs}
    assert ended == {
        0: (9, None),
        1: (9, None),
        2: (1, StopReason.RUNG),
        3: (3, StopReason.RUNG),
        4: (9, None),
    }


def test_trial_0_is_stopped_like_others_where_there_is_no_baseline():
    curves = made([[0.1] * 9, [0.9] * 9])
    with quiet_optuna():
        study = POLICIES["random + ASHA"](curves, rules(9, grace=2), 0)
    first = study.ask()
    others = [study.ask() for _ in range(3)]
    for other in others:
        study.report(other.number, curves.metrics(1, 1))
        study.report(other.number, curves.metrics(1, 2))
    assert study.report(first.number, curves.metrics(0, 1)) is None
    assert study.report(first.number, curves.metrics(0, 2)).reason is StopReason.RUNG


def test_regret_counts_the_last_epoch_of_the_configuration_that_is_handed_over():
    # Finals 0.5, 0.6, 0.9, 0.4, 0.7: best 0.9, median 0.6.
    curves = made([[0.1, 0.5], [0.8, 0.6], [0.3, 0.9], [0.2, 0.4], [0.4, 0.7]])
    scale = RegretScale.of(curves)
    assert [scale.regret(row) for row in range(5)] == pytest.approx([4 / 3, 1, 0, 5 / 3, 2 / 3])
    trace = simulator.simulate(Listed(curves, [0, 1, 2]), curves, workers=1, epochs=99)
    # Seen: 0.1 0.5 | 0.8 0.6 | 0.3 0.9. Row 1's lucky first epoch leads until row 2's last.
    assert trace.regrets(range(7), highest_value) == pytest.approx(
        [1.0, 4 / 3, 4 / 3, 1.0, 1.0, 1.0, 0.0]
    )
    assert trace.regrets([500]) == [0.0]


def test_the_latest_value_decides_what_is_handed_over_and_a_diverged_trial_never_is():
    """Finals 0.5, 0.6, 0.9: row 0 had a lucky epoch, row 2 is ended as diverged."""
    curves = made([[0.7, 0.5], [0.55, 0.6], [0.95, 0.9]])

    class Diverging(Listed):
        def report(self, number, metrics):
            super().report(number, metrics)
            diverged = Ending(state=TrialState.STOPPED, reason=StopReason.DIVERGED)
            return diverged if number == 2 else None

    trace = simulator.simulate(Diverging(curves, [0, 1, 2]), curves, workers=1, epochs=99)
    rows = [simulator.latest_value(trace.events[:n]).row for n in range(1, 6)]
    assert rows == [0, 0, 1, 1, 1]
    assert simulator.highest_value(trace.events).row == 2


def test_equal_configurations_leave_nothing_to_regret():
    curves = made([[0.5], [0.5]])
    assert RegretScale.of(curves).regret(0) == 0.0


def rising(count: int, epochs: int = 9):
    x = np.linspace(0, 1, count)
    return made([[0.9 - (v - 0.3) ** 2 - 0.4 / e for e in range(1, epochs + 1)] for v in x],
                epoch_s=list(1 + x))  # fmt: skip


@pytest.mark.parametrize("name", POLICIES)
def test_a_seed_decides_everything(name):
    curves = rising(50)

    def events(seed):
        with quiet_optuna():
            policy = POLICIES[name](curves, rules(9, grace=1), seed)
        return simulator.simulate(policy, curves, workers=3, epochs=60).events

    assert events(1) == events(1)
    assert events(1) != events(2)


def test_random_search_trains_every_trial_to_its_end():
    curves = rising(50)
    with quiet_optuna():
        study = POLICIES["random"](curves, rules(9, grace=1), 0)
    simulator.simulate(study, curves, workers=1, epochs=36)
    ended = [(r.state, r.epochs) for r in study.records.values()]
    assert ended == [(TrialState.COMPLETE, 9)] * 4


@pytest.mark.parametrize("name", POLICIES)
def test_where_only_rows_are_proposed_each_comes_once(name):
    curves = replace(rising(20), only_rows=True)
    with quiet_optuna():
        study = POLICIES[name](curves, rules(9, grace=1), 1)
        trace = simulator.simulate(study, curves, workers=3, epochs=9 * 40)
    proposed = [record.params["x"] for record in study.records.values()]
    assert sorted(proposed) == pytest.approx([row / 19 for row in range(20)])
    assert len(trace.events) <= 9 * 20
    assert trace.regrets([9 * 40]) == [0.0]
    assert study.finished()


def test_where_only_rows_are_proposed_a_baseline_is_a_row():
    curves = replace(rising(20), only_rows=True, baseline={"x": 0.49})
    with quiet_optuna():
        study = POLICIES["ours"](curves, rules(9, grace=1), 1)
        first = study.ask()
    assert first.config.params["x"] == pytest.approx(9 / 19)


def test_the_simulated_study_is_the_one_that_searches():
    with quiet_optuna():
        study = POLICIES["ours"](rising(5), rules(9, grace=1), 7)
    assert type(study) is Study
    assert issubclass(session.SteeredStudy, Study)
    assert isinstance(study.store, MemoryStore)
    samplers = [PointProposer(rising(5), 7).sampler(3, [], (9,)), _real_sampler(7, 3)]
    assert type(samplers[0]) is type(samplers[1])


def _real_sampler(seed, number):
    from search.spaces import find_space

    return Proposer(find_space("demo"), {}, seed).sampler(number, [], (9,))


def test_a_finished_run_is_replayed(tmp_path, capsys):
    study = open_study(tmp_path / "first", trials=8)
    play(study)
    study.store.write_manifest({"sessions": []})
    study.store.close()
    curves = read_run_curves(tmp_path / "first")
    assert (curves.name, curves.val.shape) == ("first", (8, RULES.epochs))
    best = max(study.records.values(), key=lambda r: r.best_val_top1)
    assert curves.val[:, -1].argmax() == best.number
    assert curves.nearest(best.params) == best.number
    assert main([str(tmp_path / "first"), "--workers", "2", "--budget", "8", "--seeds", "1",
                 "--grace", "1"]) == 0  # fmt: skip
    told = capsys.readouterr().out.splitlines()
    assert told[1] == "first (8 configurations of 9 epochs)"
    assert [line.split("  ")[1] for line in told[2:]] == list(POLICIES)


def test_every_wrong_option_is_told_at_once(tmp_path, capsys):
    (tmp_path / "torn.npz").write_bytes(b"no archive")
    assert main([str(tmp_path / "torn.npz"), "--workers", "0", "--grace", "-1"]) == 2
    told = capsys.readouterr().err
    assert "--workers must be ≥ 1, but got 0." in told
    assert "--grace must be ≥ 0, but got -1." in told
    assert "torn.npz must be an .npz file of curves" in told


def test_a_simulated_search_ends_by_its_gain():
    curves = rising(50)
    slow = replace(curves, epoch_s=np.full(50, 400.0))
    used = []
    for min_gain in (0.0, 0.05):
        with quiet_optuna():
            study = POLICIES["ours"](slow, replace(rules(9, grace=1), min_gain=min_gain), 0)
        used.append(len(simulator.simulate(study, slow, workers=2, epochs=150).events))
    assert used[0] == 150
    assert used[1] < 120
    assert study.finished()


def test_the_command_says_how_much_of_the_budget_a_search_used(tmp_path, capsys):
    np.savez(tmp_path / "rising.npz", configs=np.linspace(0, 1, 30)[:, None], names=np.array(["x"]),
             val_accuracy=np.outer(np.linspace(50, 60, 30), [0.5, 0.8, 1.0]),
             wall_s=np.full(30, 3600.0))  # fmt: skip
    arguments = [str(tmp_path / "rising.npz"), "--seeds", "1", "--policy", "ours"]
    assert main([*arguments, "--budget", "20", "--workers", "2", "--min-gain", "0.9"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "ours" in line]
    assert 0 < int(line.partition("ended after ")[2].partition("%")[0]) < 100


def test_with_only_rows_the_command_misses_none(tmp_path, capsys):
    """Twelve trainings of twelve rows find the best one if none comes twice."""
    np.savez(tmp_path / "dozen.npz", configs=np.linspace(0, 1, 12)[:, None], names=np.array(["x"]),
             val_accuracy=np.outer(np.linspace(50, 60, 12), [0.5, 0.8, 1.0]))  # fmt: skip
    arguments = [str(tmp_path / "dozen.npz"), "--policy", "random", "--budget", "12"]
    regrets = []
    for words in ([], ["--only-rows"]):
        assert main([*arguments, *words]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "random" in line]
        regrets.append(float(line.split()[-1]))
    assert regrets[0] > regrets[1] == 0.0
