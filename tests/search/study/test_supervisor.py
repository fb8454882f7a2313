"""One face of trials and finalists: a search that is driven through it alone."""

from pathlib import Path

import optuna
import pytest

from results.records import NetworkCosts, StopReason, TrainingId, TrialState
from results.side_store import FINALIST_FILES, SideStore
from search.spaces import find_space
from search.study.finalists import Finalists
from search.study.optuna_journal import open_journal
from search.study.proposer import Proposer
from search.study.study import Study
from search.study.supervisor import Supervisor
from tests.search.finalists_on_curves import final_of, repeat, search, seeded_curve
from tests.search.study_on_curves import RULES, curve, metrics, open_study
from trainables.config import ConfigError


def supervisor_of(study: Study, *, count: int = 0) -> Supervisor:
    store = SideStore(FINALIST_FILES, study.store.directory)
    return Supervisor(study, Finalists(study=study, store=store, count=count, repeats=2, seed=0))


def train(supervisor: Supervisor) -> list[TrainingId]:
    """One worker trains everything; what it began, in order."""
    begun = []
    while (proposal := supervisor.propose()) is not None:
        begun.append(proposal.training)
        made = seeded_curve if proposal.training.is_finalist else curve
        for epoch in made(proposal.config)[proposal.epochs_done :]:
            if supervisor.epoch(proposal.training, epoch):
                break
    return begun


def test_the_same_search_as_by_study_and_finalists_themselves(tmp_path: Path) -> None:
    apart = final_of(tmp_path / "apart" / "run", count=1, repeats=2)
    repeats = repeat(apart)
    supervisor = supervisor_of(open_study(tmp_path / "one" / "run", trials=6), count=1)
    begun = train(supervisor)
    assert begun == [*map(TrainingId, apart.study.records), *repeats]
    assert supervisor.finished()
    assert not supervisor.waiting()
    assert FINALIST_FILES.read(tmp_path / "one" / "run") == apart.records
    history = list(supervisor.history())
    assert [record.training for record, _ in history] == begun
    assert [record for record, _ in history] == [
        *apart.study.records.values(), *apart.records.values(),
    ]  # fmt: skip
    assert all(list(epochs) == supervisor.epochs(r.training) for r, epochs in history)


def test_there_may_be_more_to_propose_while_trials_run(tmp_path: Path) -> None:
    supervisor = supervisor_of(open_study(tmp_path / "run", trials=2), count=1)
    first, second = supervisor.propose(), supervisor.propose()
    assert supervisor.propose() is None
    assert supervisor.waiting()
    assert not supervisor.finished()
    for proposal in (first, second):
        supervisor.failed(proposal.training, "OSError: no disk")
    assert supervisor.propose() is None
    assert not supervisor.waiting()
    assert supervisor.finished()


def test_each_kind_of_training_fails_and_is_retried_by_its_own_rule(tmp_path: Path) -> None:
    study = open_study(tmp_path / "run", trials=3)
    search(study)
    supervisor = supervisor_of(study, count=1)
    training = supervisor.propose().training
    trial = TrainingId(training.number)
    assert training.is_finalist
    assert supervisor.epoch(training, metrics(1, 0.3)) is None
    assert len(supervisor.epochs(training)) == 1
    assert (supervisor.may_retry(training), supervisor.may_retry(trial)) == (True, False)
    config = supervisor.retry(training, "OSError: no disk", curve_config(supervisor, training))
    assert (config.training, config.epochs_done) == (training, 1)
    assert not supervisor.may_retry(training)
    supervisor.failed(training, "MemoryError: 2 GiB", StopReason.MEMORY)
    record = supervisor.record(training)
    assert (record.state, record.reason) == (TrialState.FAILED, StopReason.MEMORY)
    assert record.detail == "MemoryError: 2 GiB"
    assert supervisor.record(trial).state is not TrialState.FAILED
    again = supervisor_of(study, count=1)  # the next session tries others that broke off again
    other = again.propose().training
    assert other != training
    assert again.may_retry(other)


def curve_config(supervisor: Supervisor, training: TrainingId):
    from trainables.config import TrialConfig

    return TrialConfig.from_record(supervisor.record(training).config)


def test_a_trial_is_retried_once_over_all_sessions(tmp_path: Path) -> None:
    study = open_study(tmp_path / "run", trials=3)
    supervisor = supervisor_of(study)
    proposal = supervisor.propose()
    supervisor.epoch(proposal.training, metrics(1, 0.3))
    assert supervisor.may_retry(proposal.training)
    again = supervisor.retry(proposal.training, "OSError: no disk", proposal.config)
    assert (again.training, again.epochs_done, again.baseline) == (TrainingId(0), 1, True)
    assert supervisor.record(proposal.training).retried == "OSError: no disk"
    assert not supervisor.may_retry(proposal.training)
    study.store.close()
    assert not supervisor_of(open_study(tmp_path / "run", trials=3)).may_retry(TrainingId(0))


class Choosy(Proposer):
    """The second and third configuration break a rule."""

    def propose(self, trial):
        if trial.number in (1, 2):
            raise ConfigError(["lr must be > 0, but got lr=-0.1."])
        return super().propose(trial)


def test_trials_that_fail_when_they_are_proposed_are_named_once(tmp_path: Path) -> None:
    study = open_study(tmp_path / "run", trials=5)
    fixed = {"epochs": RULES.epochs, "precision": "float32"}
    study = Study(
        proposer=Choosy(
            find_space("demo"), fixed, 0,
            make=lambda source, seed, *known: optuna.samplers.RandomSampler(seed=seed),
        ),
        rules=RULES, trials=5, store=study.store,
        storage=open_journal(tmp_path / "run"),
    )  # fmt: skip
    supervisor = supervisor_of(study)
    assert supervisor.propose().training == TrainingId(0)
    assert supervisor.refused() == []
    assert supervisor.propose().training == TrainingId(3)
    assert [record.training for record in supervisor.refused()] == [TrainingId(1), TrainingId(2)]
    assert supervisor.refused() == []


def test_what_a_network_costs_is_asked_for_only_where_trials_are_compared_by_it(tmp_path) -> None:
    supervisor = supervisor_of(open_study(tmp_path / "run", trials=3))
    training = supervisor.propose().training
    assert not supervisor.unmeasured(training)
    costs = NetworkCosts(latency_ms=3.0, parameters_m=4.9)
    assert supervisor.measured(training, costs).latency_ms is None


def test_a_training_that_nobody_proposed_is_refused(tmp_path: Path) -> None:
    supervisor = supervisor_of(open_study(tmp_path / "run", trials=3))
    for training in (TrainingId(7), TrainingId(0, 1)):
        with pytest.raises(KeyError):
            supervisor.epoch(training, metrics(1, 0.5))
