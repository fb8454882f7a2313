"""What earlier trials teach the sampler, with real samplers and made objectives."""

import math
import statistics
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from results.records import EpochMetrics
from results.store import RunError
from search.evidence import Evidence, Informed, informed, read_evidence, write_evidence
from search.horizons import first_horizon
from search.proposing import Proposer, make_sampler
from search.space import Space
from search.storage import MemoryStore
from search.study import Rules, Study
from search.warm_start import ENQUEUED, Earlier, best_of, evidence_of
from tests.search.curves import metrics
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


def searched(seed: int, trials: int, earlier: Earlier | None = None, **parts: bool) -> Study[Any]:
    """A finished search, warm-started by `teach`ing its sampler and by `try_best`."""
    proposer = Proposer(SPACE, {"precision": "float32"}, seed)
    baseline = proposer.baseline_params()
    queue = best_of([earlier], proposer, baseline) if earlier and parts["try_best"] else []
    if earlier and parts["teach"]:
        proposer.make = informed(proposer, evidence_of(earlier, proposer, "same", EPOCHS))
    study = Study(
        proposer=proposer,
        rules=Rules(
            epochs=EPOCHS, grace=1, factor=3, max_gap=0.2, gap_patience=3, plateau_patience=0,
            num_classes=20,
        ),
        trials=trials,
        store=MemoryStore(),
        storage=InMemoryStorage(),
        horizons=(first_horizon(EPOCHS, 1, baseline, queue),),
    )  # fmt: skip
    while (proposal := study.ask()) is not None:
        for epoch in trained(proposal.config):
            if study.report(proposal.number, epoch):
                break
    return study


def best(study: Study[Any]) -> float:
    return max(record.best_val_top1 or 0.0 for record in study.records.values())


@pytest.fixture(scope="module")
def earlier() -> Earlier:
    """24 trials of another seed."""
    study = searched(seed=100, trials=24)
    values = {n: {e.epoch: e.val_top1 or 0.0 for e in seen} for n, seen in study.epochs.items()}
    return Earlier(name="A", fingerprint="same", trials=study.records, values=values)


@pytest.mark.parametrize("parts", [(True, True), (True, False), (False, True)])
def test_a_warm_started_search_finds_a_better_value_in_as_many_trials(
    earlier: Earlier, parts: tuple[bool, bool]
) -> None:
    """Both ways together, and each for itself, over five seeds."""
    options = dict(zip(("teach", "try_best"), parts, strict=True))
    cold = [best(searched(seed, trials=9)) for seed in range(5)]
    warm = [best(searched(seed, trials=9, earlier=earlier, **options)) for seed in range(5)]
    assert statistics.mean(warm) > statistics.mean(cold) + 0.02
    assert sum(w > c for w, c in zip(warm, cold, strict=True)) >= 4


def test_the_first_trials_are_the_baseline_and_then_the_best(earlier: Earlier) -> None:
    study = searched(seed=1, trials=5, earlier=earlier, teach=True, try_best=True)
    order = sorted(earlier.trials.values(), key=lambda r: -(r.best_val_top1 or 0.0))
    tried = [record.params for record in study.records.values()]
    assert tried[0] == earlier.trials[0].params
    assert tried[1 : 1 + ENQUEUED] == [record.params for record in order[:ENQUEUED]]
    assert tried[1 + ENQUEUED] not in [record.params for record in earlier.trials.values()]


class Listening(BaseSampler):
    """Notes what it is shown; proposes 0.5."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, list[Any]]] = []

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> float:
        known = [(t.number, t.state.name, t.params.get("x")) for t in study.get_trials()]
        self.shown.append((trial.number, known))
        return 0.5


def test_the_sampler_is_shown_the_earlier_trials_before_the_study_s_own() -> None:
    ranges = {"x": FloatDistribution(0.0, 1.0)}
    complete = Evidence(
        origin="trial 3 of A", params={"x": 0.25}, values={1: 0.4, 2: 0.3}, epochs=2, complete=True
    )
    cut = Evidence(
        origin="trial 4 of A", params={"x": 0.75}, values={1: 0.1}, epochs=2, complete=False
    )
    first, second = complete.frozen(ranges), cut.frozen(ranges)
    assert (first.value, first.intermediate_values) == (0.4, {1: 0.4, 2: 0.3})
    assert (second.state, second.intermediate_values) == (TrialState.PRUNED, {1: 0.1})
    study = optuna.create_study(direction="maximize")
    for number in range(2):
        listening = Listening()
        study.sampler = Informed(listening, [first, second])
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        if number == 0:
            study.tell(trial, 0.9)
    taught = [(0, "COMPLETE", 0.25), (1, "PRUNED", 0.75)]
    assert listening.shown == [(3, [*taught, (2, "COMPLETE", 0.5)])]
    assert [t.number for t in study.get_trials()] == [0, 1]


def test_without_earlier_trials_the_informed_sampler_proposes_as_the_bare_one() -> None:
    def proposed(wrap: bool) -> list[dict[str, Any]]:
        study = optuna.create_study(direction="maximize")
        for number in range(14):
            bare = make_sampler(3, number)
            study.sampler = Informed(bare, []) if wrap else bare
            trial = study.ask()
            values = suggest(trial)
            study.tell(trial, -values["dropout"])
        return [trial.params for trial in study.get_trials()]

    assert proposed(wrap=True) == proposed(wrap=False)


def test_a_run_keeps_its_copy(tmp_path: Path) -> None:
    kept = [
        Evidence(
            origin="trial 7 of A", params={"lr": 1e-3, "flip": True, "policy": "none"},
            values={1: 0.25, 2: 0.5}, epochs=30, complete=False,
        )
    ]  # fmt: skip
    write_evidence(tmp_path, kept)
    assert read_evidence(tmp_path) == kept
    (tmp_path / "evidence.jsonl").write_text('{"origin": "torn')
    with pytest.raises(RunError, match=r"evidence\.jsonl must hold what a warm-started run"):
        read_evidence(tmp_path)
    (tmp_path / "evidence.jsonl").unlink()
    with pytest.raises(RunError, match="restore it from a copy of the run"):
        read_evidence(tmp_path)
