"""What earlier trials teach the sampler, with real samplers and made objectives."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage

from results.records import EpochMetrics
from results.store import RunError
from search.early_stopping.decision import Rules
from search.planning.warm_start import ENQUEUED, EarlierRun, best_of, useful_trials
from search.samplers.learning_curves import ObservedTrial, after_shares
from search.space import Space
from search.study.horizons import QueuedConfiguration, first_horizon
from search.study.prior_trials import PriorTrial, read_prior_trials, write_prior_trials
from search.study.proposer import Proposer
from search.study.store import MemoryStore
from search.study.study import Study
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig

EPOCHS = 9


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.8),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.4),
    }


BASELINE = TrialConfig(network="resnet10", lr=3e-2, weight_decay=1e-6, epochs=EPOCHS)
SPACE = Space(summary="four numbers", dataset="demo", baseline=BASELINE, suggest=suggest)


def quality(config: TrialConfig) -> float:
    """0.8 at lr 1e-3, weight decay 1e-3, dropout 0.3 and label smoothing 0.1, less elsewhere."""
    off = (
        math.log10(config.lr / 1e-3) / 4,
        math.log10(config.weight_decay / 1e-3) / 5,
        (config.dropout - 0.3) / 0.8,
        (config.label_smoothing - 0.1) / 0.4,
    )
    return 0.8 - 0.5 * math.sqrt(sum(x * x for x in off))


def trained(config: TrialConfig) -> list[EpochMetrics]:
    return [metrics(e, quality(config) * (1 - 0.5**e)) for e in range(1, EPOCHS + 1)]


def searched(
    seed: int, trials: int, earlier: EarlierRun | None = None, **parts: bool
) -> Study[Any]:
    """A finished search, warm-started by `teach`ing its sampler and by `try_best`."""
    proposer = Proposer(SPACE, {"precision": "float32"}, seed)
    baseline = proposer.baseline_params()
    queue = best_of([earlier], proposer, baseline) if earlier and parts["try_best"] else []
    taught = earlier if earlier and parts["teach"] else None
    known = useful_trials(taught, proposer, "same", EPOCHS) if taught else []
    study = made(proposer, trials, queue, known)
    while (proposal := study.ask()) is not None:
        for epoch in trained(proposal.config):
            if study.report(proposal.number, epoch):
                break
    return study


def made(
    proposer: Proposer,
    trials: int,
    queue: Sequence[QueuedConfiguration],
    earlier: Sequence[PriorTrial],
) -> Study[Any]:
    return Study(
        proposer=proposer,
        rules=Rules(
            epochs=EPOCHS, grace=1, factor=3, max_gap=0.2, gap_patience=3, plateau_patience=0,
            num_classes=20,
        ),
        trials=trials,
        store=MemoryStore(),
        storage=InMemoryStorage(),
        horizons=(first_horizon(EPOCHS, 1, proposer.baseline_params(), more=queue),),
        earlier=earlier,
    )  # fmt: skip


def best(study: Study[Any]) -> float:
    return max(record.best_val_top1 or 0.0 for record in study.records.values())


@pytest.fixture(scope="module")
def earlier() -> EarlierRun:
    """24 trials of another seed."""
    study = searched(seed=100, trials=24)
    values = {n: {e.epoch: e.val_top1 or 0.0 for e in seen} for n, seen in study.epochs.items()}
    return EarlierRun(name="A", fingerprint="same", trials=study.records, values=values)


@pytest.mark.parametrize("parts", [(True, True), (True, False), (False, True)])
def test_a_warm_started_search_finds_a_better_value_in_as_many_trials(
    earlier: EarlierRun, parts: tuple[bool, bool]
) -> None:
    """Both ways together, and each for itself, over five seeds."""
    options = dict(zip(("teach", "try_best"), parts, strict=True))
    cold = [best(searched(seed, trials=9)) for seed in range(5)]
    warm = [best(searched(seed, trials=9, earlier=earlier, **options)) for seed in range(5)]
    assert statistics.mean(warm) > statistics.mean(cold) + 0.02
    assert sum(w > c for w, c in zip(warm, cold, strict=True)) >= 4


def test_the_first_trials_are_the_baseline_and_then_the_best(earlier: EarlierRun) -> None:
    study = searched(seed=1, trials=5, earlier=earlier, teach=True, try_best=True)
    order = sorted(earlier.trials.values(), key=lambda r: -(r.best_val_top1 or 0.0))
    tried = [record.params for record in study.records.values()]
    assert tried[0] == earlier.trials[0].params
    assert tried[1 : 1 + ENQUEUED] == [record.params for record in order[:ENQUEUED]]
    assert tried[1 + ENQUEUED] not in [record.params for record in earlier.trials.values()]


def test_the_study_s_sampler_hears_of_earlier_trials_first_and_of_its_own_as_ever() -> None:
    """An earlier trial of 18 epochs tells at its 2nd, 6th and 18th what ours do at 1, 3 and 9."""
    told: list[list[ObservedTrial]] = []

    class Listening(Proposer):
        def sampler(
            self, number: int, evidence: Sequence[ObservedTrial] = (), marks: Sequence[int] = ()
        ) -> optuna.samplers.BaseSampler:
            assert marks == (1, 3, EPOCHS)
            told.append(list(evidence))
            return super().sampler(number, evidence, marks)

    longer = PriorTrial(
        origin="trial 3 of A", params={"lr": 1e-3},
        values={epoch: epoch / 100 for epoch in range(1, 10)}, epochs=2 * EPOCHS,
    )  # fmt: skip
    proposer = Listening(SPACE, {"precision": "float32"}, 0)
    study = made(proposer, trials=2, queue=[], earlier=[longer])
    first = study.ask()
    assert first is not None
    study.report(0, metrics(1, 0.25))
    study.ask()
    taught = ObservedTrial(params={"lr": 1e-3}, values={1: 0.02, 3: 0.06})
    own = ObservedTrial(params=study.records[0].params, values={1: 0.25}, running=True)
    assert told == [[taught], [taught, own]]


def test_values_after_shares_by_hand() -> None:
    values = {epoch: float(epoch) for epoch in range(1, 31)}
    assert after_shares(values, 30, (3, 9, 27, 30)) == {3: 3.0, 9: 9.0, 27: 27.0, 30: 30.0}
    assert after_shares(values, 30, (6, 18, 54, 60)) == {6: 3.0, 18: 9.0, 54: 27.0, 60: 30.0}
    stopped = {epoch: float(epoch) for epoch in range(1, 10)}
    assert after_shares(stopped, 30, (6, 18, 54, 60)) == {6: 3.0, 18: 9.0}
    assert after_shares({1: 0.5}, 2, (1, 9)) == {1: 0.5}


def test_a_model_that_has_earlier_trials_needs_no_random_beginning(earlier: EarlierRun) -> None:
    """Its first own proposal is the model's; without them it is a random one."""
    cold = searched(seed=3, trials=2).records[1].params
    warm = searched(seed=3, trials=2, earlier=earlier, teach=True, try_best=False)
    bare = Proposer(SPACE, {}, 3)
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial(bare.baseline_params())
    for number in range(2):
        study.sampler = bare.sampler(number)
        params = bare.propose(study.ask())[0]
    assert cold == params
    assert warm.records[1].params != params


def test_a_run_keeps_its_copy(tmp_path: Path) -> None:
    kept = [
        PriorTrial(
            origin="trial 7 of A", params={"lr": 1e-3, "flip": True, "policy": "none"},
            values={1: 0.25, 2: 0.5}, epochs=30,
        )
    ]  # fmt: skip
    write_prior_trials(tmp_path, kept)
    assert read_prior_trials(tmp_path) == kept
    (tmp_path / "evidence.jsonl").write_text('{"origin": "torn', encoding="utf-8")
    with pytest.raises(RunError, match=r"evidence\.jsonl must hold what a warm-started run"):
        read_prior_trials(tmp_path)
    (tmp_path / "evidence.jsonl").unlink()
    with pytest.raises(RunError, match=r"restore \S+ from a copy of it"):
        read_prior_trials(tmp_path)
