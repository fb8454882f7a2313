"""A study with several objectives, on made curves: what is decided, recorded and told to Optuna."""

import math
from dataclasses import replace

import optuna
import pytest
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.trial import TrialState as OptunaState

from results.analysis.pareto import parse_objectives
from results.records import NetworkCosts, StopReason, TrialState
from results.store import RunStore, read_epochs, read_trials
from search.config.command_line import resolve
from search.samplers.front_sampler import make_front_sampler
from search.space import Space
from search.study.objectives import find_constant_objectives
from search.study.optuna_journal import journal_storage
from search.study.optuna_mirror import MEMORY, MISSING
from search.study.proposer import Proposer
from search.study.store import MemoryStore
from search.study.study import Study
from tests.search import session_on_curves
from tests.search.study_on_curves import RULES, metrics
from trainables.config import TrialConfig

BOTH = replace(RULES, objectives=("val_top1", "latency_ms"))
BASELINE = TrialConfig(network="resnet10", lr=3e-3, image_size=64, epochs=9, precision="float32")


def suggest(trial):
    return {
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "image_size": trial.suggest_categorical("image_size", [32, 64, 128]),
    }


SPACE = Space(summary="two objectives", dataset="demo", baseline=BASELINE, suggest=suggest)


def costs(config, noise=0.0):
    """Quadratic in the side: 4, 16 and 64 ms."""
    return NetworkCosts(latency_ms=(config.image_size / 16) ** 2 + noise, parameters_m=4.9)


def curve(config):
    """lr 3e-3 is best, and larger images are better."""
    quality = 0.4 + 0.1 * math.log2(config.image_size / 32)
    quality -= 0.1 * abs(math.log10(config.lr / 3e-3))
    return [metrics(e, round(quality * (1 - 0.5**e), 6)) for e in range(1, 10)]


def open_study(directory, *, trials=14, rules=BOTH, make=make_front_sampler):
    store = RunStore(directory)
    return Study(
        proposer=Proposer(SPACE, {}, 0, make=make), rules=rules, trials=trials, store=store,
        storage=journal_storage(directory),
    )  # fmt: skip


def play(study, until_epochs=math.inf):
    session_on_curves.play(study, until_epochs, curve=curve, costs=costs)


def told(directory) -> list[optuna.trial.FrozenTrial]:
    storage = journal_storage(directory)
    assert isinstance(storage, JournalStorage)
    return optuna.load_study(study_name=directory.name, storage=storage).get_trials()


def outcome(directory):
    return read_trials(directory), list(read_epochs(directory))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished search of 14 trials. Read it, don't write there."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    study = open_study(directory)
    play(study)
    study.store.close()
    return directory


def test_every_trial_is_recorded_with_what_its_network_costs(whole):
    records = read_trials(whole)
    assert len(records) == 14
    for each in records.values():
        assert each.latency_ms == (each.config["image_size"] / 16) ** 2
        assert each.parameters_m == 4.9
    states = {each.state for each in records.values()}
    assert states == {TrialState.COMPLETE, TrialState.STOPPED}


def test_optuna_hears_both_values_of_complete_trials_and_what_the_others_lack(whole):
    records = read_trials(whole)
    for each, heard in zip(records.values(), told(whole), strict=True):
        if each.state is TrialState.COMPLETE:
            assert heard.state is OptunaState.COMPLETE
            assert heard.values == [each.best_val_top1, each.latency_ms]
            assert heard.constraints == {}
        else:
            assert heard.state is OptunaState.PRUNED
            assert heard.constraints == {MISSING: 9 - each.epochs}


def test_the_dashboard_s_study_names_its_objectives_and_their_ways(whole):
    study = optuna.load_study(study_name="run", storage=journal_storage(whole))
    assert [way.name for way in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["val_top1", "latency_ms"]
    assert {trial.number for trial in study.best_trials} <= {
        number for number, r in read_trials(whole).items() if r.state is TrialState.COMPLETE
    }


@pytest.mark.parametrize("killed_after", [1, 7, 20])
def test_a_killed_search_goes_on_to_the_trials_of_an_uninterrupted_one(
    tmp_path, whole, killed_after
):
    cut = tmp_path / "run"
    study = open_study(cut)
    play(study, until_epochs=killed_after)
    study.store._lock.release()  # what the system does for a killed process
    resumed = open_study(cut)
    assert not any(resumed.unmeasured(number) for number in resumed.records)
    play(resumed)
    assert outcome(cut) == outcome(whole)
    assert [t.params for t in told(cut)] == [t.params for t in told(whole)]
    assert resumed.rungs.recorded()[1] == 14


def test_a_kill_between_two_words_to_optuna_is_made_good(tmp_path, monkeypatch):
    study = open_study(tmp_path / "run", trials=3)
    play(study, until_epochs=9)
    proposal = study.ask()
    study.measured(proposal.number, costs(proposal.config))
    tell = optuna.Study.tell
    monkeypatch.setattr(optuna.Study, "tell", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        study.report(proposal.number, metrics(1, 0.0))  # stopped: the baseline is better
    monkeypatch.setattr(optuna.Study, "tell", tell)
    study.store._lock.release()
    open_study(tmp_path / "run", trials=3)
    heard = told(tmp_path / "run")[proposal.number]
    assert heard.state is OptunaState.PRUNED
    assert heard.constraints == {MISSING: 8}


def test_want_of_memory_is_behind_every_trial_that_was_stopped(tmp_path):
    """After 1 of 9 epochs 8 are missing; where memory was wanting it is all 9, and one more."""
    study = open_study(tmp_path / "run", trials=4)
    play(study, until_epochs=9)
    unfit, stopped = study.ask(), study.ask()
    study.measured(unfit.number, costs(unfit.config))
    study.measured(stopped.number, NetworkCosts(latency_ms=100, parameters_m=4.9))
    assert study.report(unfit.number, metrics(1, 0.9)) is None
    study.fail(unfit.number, "TrialMemoryError: 2 GiB", StopReason.MEMORY)
    assert study.report(stopped.number, metrics(1, 0.0))
    heard = told(tmp_path / "run")
    assert heard[stopped.number].constraints == {MISSING: 8}
    assert heard[unfit.number].constraints == {MISSING: 9, MEMORY: 1}
    assert heard[unfit.number].state is OptunaState.PRUNED


def test_a_trial_that_breaks_off_before_it_is_measured_is_measured_again(tmp_path):
    study = open_study(tmp_path / "run", trials=3)
    proposal = study.ask()
    study.retry(0, "TrialMemoryError: 2 GiB", proposal.config)
    assert study.unmeasured(0)
    study.measured(0, costs(proposal.config))
    assert not study.unmeasured(0)
    assert study.records[0].latency_ms == 16
    assert study.records[0].retried


def test_equal_networks_count_the_same_as_measured_first(tmp_path):
    study = open_study(tmp_path / "run", trials=14)
    asked = [study.ask() for _ in range(14)]
    sizes = [each.config.image_size for each in asked]
    again = sizes.index(sizes[0], 1)
    other = next(n for n, size in enumerate(sizes) if size != sizes[0])
    for number, noise in ((0, 1.0), (again, -5.0), (other, 0.5)):
        assert study.unmeasured(number)
        study.measured(number, costs(asked[number].config, noise))
        assert not study.unmeasured(number)
    study.measured(0, costs(asked[0].config, -9.0))  # a worker that begins again
    seen = read_trials(tmp_path / "run")
    assert seen[0].latency_ms == seen[again].latency_ms == 17.0
    assert seen[other].latency_ms == costs(asked[other].config, 0.5).latency_ms


def test_a_network_that_is_known_needs_no_measuring(tmp_path):
    study = open_study(tmp_path / "run")
    first = study.ask()
    study.measured(0, costs(first.config))
    sizes = {}
    for number in range(1, 14):
        sizes[number] = study.ask().config.image_size
    assert {study.unmeasured(n) for n, size in sizes.items() if size == 64} == {False}
    assert {study.unmeasured(n) for n, size in sizes.items() if size != 64} == {True}


def test_a_cheap_network_goes_on_where_val_top1_alone_would_stop_it(tmp_path):
    endings = []
    for rules in (BOTH, RULES):
        study = open_study(tmp_path / str(len(endings)) / "run", rules=rules)
        asked = [study.ask() for _ in range(8)]
        small = next(each for each in asked if each.config.image_size == 32)
        for each in asked:
            study.measured(each.number, costs(each.config))
            if each is not small:
                study.report(each.number, metrics(1, 0.5))
        endings.append(study.report(small.number, metrics(1, 0.3)))
    assert endings[0] is None
    assert endings[1].reason is StopReason.RUNG


def test_a_study_of_one_objective_measures_and_records_nothing(tmp_path):
    study = open_study(tmp_path / "run", rules=RULES, trials=3)
    study.ask()
    assert not study.unmeasured(0)
    study.measured(0, costs(BASELINE))
    assert study.records[0].latency_ms is None


def test_an_epoch_of_an_unmeasured_trial_is_refused(tmp_path):
    study = open_study(tmp_path / "run")
    study.ask()
    with pytest.raises(ValueError, match="Trial 0 must be measured"):
        study.report(0, metrics(1, 0.5))


def test_the_sampler_learns_what_is_on_the_front():
    """lr 3e-3 is best whatever the size: beyond the startup it is proposed more often."""
    study = Study(
        proposer=Proposer(SPACE, {}, 0, make=make_front_sampler), rules=BOTH, trials=40,
        store=MemoryStore(), storage=InMemoryStorage(),
    )  # fmt: skip
    play(study)
    far = [abs(math.log10(r.params["lr"] / 3e-3)) for r in study.records.values()]
    # uniform over 1e-4…1e-1 the mean distance from 3e-3 is 0.75
    assert sum(far[20:]) / 20 < 0.55


def test_objectives_are_told_in_one_order():
    options, errors = resolve({"space": "demo", "objectives": "latency_ms, val_top1"})
    assert errors == []
    assert parse_objectives(options.objectives) == ("val_top1", "latency_ms")
    assert parse_objectives(resolve({"space": "demo"})[0].objectives) == ("val_top1",)


@pytest.mark.parametrize(
    "text",
    ["latency_ms", "val_top1,latency", "val_top1,val_top1", "", "val_top1,", "val_top5,latency_ms"],
)
def test_what_is_no_set_of_objectives_is_refused(text):
    errors = resolve({"space": "demo", "objectives": text})[1]
    assert len(errors) == 1
    assert errors[0].startswith("--objectives must be val_top1, alone or followed by latency_ms")
    assert errors[0].endswith(f"but got {text!r}.")


def test_finalists_choose_one_winner_and_so_one_objective():
    both = {"space": "demo", "objectives": "val_top1,latency_ms"}
    errors = resolve({**both, "finalists": 2})[1]
    assert errors == [
        "--finalists must be 0 beside several --objectives, whose front has no single winner, "
        "but got 2."
    ]
    assert resolve({**both, "finalists": 0})[1] == []


def test_a_warm_start_teaches_one_objective():
    warm = {"space": "demo", "warm_start": ["runs/first"]}
    assert resolve({**warm, "objectives": "val_top1,latency_ms"})[1] == [
        "--warm-start must be left out beside several --objectives, for which earlier trials "
        "teach nothing, but got ('runs/first',)."
    ]
    assert resolve(warm)[1] == []


def test_an_objective_that_no_trial_can_change_is_refused():
    three = ("val_top1", "latency_ms", "parameters_m")
    assert find_constant_objectives(three, ["lr", "head_width"], "mine") == []
    sized = find_constant_objectives(three, ["lr", "image_size"], "mine")
    assert len(sized) == 1
    assert sized[0].startswith("--objectives parameters_m needs networks that differ, but mine")
    assert "none of network, stem, head_width" in sized[0]
    assert len(find_constant_objectives(three, ["lr"], "mine")) == 2
    assert find_constant_objectives(("val_top1",), [], "mine") == []
