"""Short trainings before the trials, driven without Ray: what is trained, and what follows."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from results.records import ScreeningRecord, StopReason, TrainingId, TrialState
from results.side_store import FINALIST_FILES, SCREENING_FILES, SideStore
from results.store import RunStore
from search.planning.screening import ScreeningPlan
from search.samplers.learning_curves import SCREENED, ObservedTrial
from search.space import Space
from search.spaces import find_space
from search.study.finalists import Finalists
from search.study.optuna_journal import open_journal
from search.study.proposer import Proposal, Proposer
from search.study.screening import KEPT, Screening
from search.study.study import Study
from search.study.supervisor import Supervisor
from tests.search.study_on_curves import DEMO, RULES, curve, metrics
from trainables.config import TrialConfig

PLAN = ScreeningPlan(count=12, epochs=2, images=0.25, size=0.5, cost=0.05)
VAL_IMAGES = 100_000


def proposer_of(space: Space | None = None) -> Proposer:
    return Proposer(space or DEMO, {"epochs": 9, "precision": "float32"}, 0)


def screening_of(
    directory: Path,
    *,
    plan: ScreeningPlan = PLAN,
    space: Space | None = None,
    val_images: int = VAL_IMAGES,
    time_left: Callable[[], float] = lambda: math.inf,
) -> Screening[TrialConfig]:
    directory.mkdir(exist_ok=True)
    return Screening(
        count=plan.count,
        images=plan.images,
        proposer=proposer_of(space),
        shorten=plan.shorten,
        store=SideStore(SCREENING_FILES, directory),
        num_classes=20,
        val_images=val_images,
        time_left=time_left,
    )


def short(config: TrialConfig) -> list[Any]:
    return curve(config, config.epochs)


def train(screening: Screening[TrialConfig], most: int = 10_000) -> list[Proposal[TrialConfig]]:
    """One worker trains so many epochs at most; what it began."""
    begun: list[Proposal[TrialConfig]] = []
    while (proposal := screening.ask()) is not None:
        begun.append(proposal)
        for epoch in short(proposal.config)[proposal.epochs_done :]:
            if most == 0:
                return begun
            most -= 1
            if screening.report(proposal.training, epoch):
                break
    return begun


def test_a_configuration_is_shortened_with_all_that_counts_in_epochs() -> None:
    plan = ScreeningPlan(count=20, epochs=3, images=0.25, size=0.5, cost=0.01)
    config = TrialConfig(
        network="resnet18", image_size=96, epochs=30, warmup_epochs=5.0, schedule="step",
        step_epochs=10, lr=0.02, compile=True,
    )  # fmt: skip
    assert plan.shorten(config) == config.but(
        image_size=48, epochs=3, warmup_epochs=0.5, step_epochs=1, compile=False
    )
    assert plan.shorten(config.but(image_size=40)).image_size == 32
    assert plan.epochs_worth(30) == pytest.approx(6.0)


def test_many_configurations_the_baseline_first_each_once(tmp_path: Path) -> None:
    screening = screening_of(tmp_path)
    begun = train(screening)
    assert [each.training for each in begun] == [
        TrainingId(number, screening=True) for number in range(12)
    ]
    assert [each.baseline for each in begun] == [True] + [False] * 11
    assert {(e.images, e.config.epochs, e.config.image_size) for e in begun} == {(0.25, 2, 32)}
    baseline = find_space("demo").baseline
    assert begun[0].config == baseline.but(epochs=2, image_size=32, precision="float32")
    assert len({str(each.config.to_dict()) for each in begun}) == 12
    assert screening.finished()
    assert not screening.waiting()
    records = SCREENING_FILES.read(tmp_path)
    assert all(r.state is TrialState.COMPLETE and r.epochs == 2 for r in records.values())
    assert records == screening.records


def test_the_best_ones_follow_the_baseline_and_the_sampler_learns_from_all(tmp_path: Path) -> None:
    screening = screening_of(tmp_path)
    train(screening)
    order = sorted(screening.records.values(), key=lambda r: (-(r.val_top1 or 0), r.number))
    best = [record for record in order if record.number][:KEPT]
    queued = [screening.queued(place) for place in range(KEPT + 1)]
    assert [q and q.params for q in queued] == [*(r.params for r in best), None]
    assert [q and q.origin for q in queued[:2]] == [f"screening {r.number}" for r in best[:2]]
    tried = ObservedTrial(params=best[0].params, values={1: 0.3, 3: 0.4})
    other = ObservedTrial(params={"lr": 0.1}, values={1: 0.2})
    evidence, marks = screening.extend([tried, other], (1, 3, 9))
    assert marks == (SCREENED, 1, 3, 9)
    assert evidence[-2:] == [
        ObservedTrial(params=best[0].params, values={SCREENED: best[0].val_top1, 1: 0.3, 3: 0.4}),
        other,
    ]
    rest = {record.number: record for record in order if record is not best[0]}
    assert [(e.params, e.values, e.tried) for e in evidence[:-2]] == [
        (rest[n].params, {SCREENED: rest[n].val_top1}, False) for n in sorted(rest)
    ]
    assert screening.shown() == 12


def test_nothing_follows_where_short_trainings_tell_nothing(tmp_path: Path) -> None:
    """Their accuracies spread by some points, those of ten images by a dozen."""
    screening = screening_of(tmp_path, val_images=10)
    train(screening)
    worth = screening.worth()
    assert worth is not None
    assert not worth.useful
    assert screening.queued(0) is None
    assert screening.extend([], (1, 9)) == ([], (1, 9))
    assert screening.shown() == 0


def test_it_ends_early_once_the_first_ones_tell_nothing(tmp_path: Path) -> None:
    plan = ScreeningPlan(count=48, epochs=2, images=0.25, size=0.5, cost=0.02)
    screening = screening_of(tmp_path, plan=plan, val_images=3)
    assert len(train(screening)) == 16
    assert screening.finished()
    assert screening_of(tmp_path, plan=plan, val_images=3).finished()


def test_a_killed_screening_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = screening_of(tmp_path / "whole")
    train(whole)
    for epochs in (0, 1, 7, 23):
        directory = tmp_path / str(epochs)
        killed = screening_of(directory)
        train(killed, epochs)
        killed.store.close()
        again = screening_of(directory)
        begun = train(again)
        assert [e.epochs_done for e in begun][:1] == [epochs % 2]
        assert again.records == whole.records
        assert [again.queued(n) for n in range(4)] == [whole.queued(n) for n in range(4)]


def test_a_space_with_fewer_configurations_is_screened_whole(tmp_path: Path) -> None:
    demo = find_space("demo")
    few = Space(
        summary="", dataset="demo", baseline=demo.baseline,
        suggest=lambda trial: {"lr": trial.suggest_categorical("lr", [0.002, 0.02, 0.0002])},
    )  # fmt: skip
    screening = screening_of(tmp_path, space=few)
    assert len(train(screening)) == 3
    assert screening.finished()
    assert screening.worth() is None  # of three nothing is known
    assert screening_of(tmp_path, space=few).finished()


def test_what_diverged_or_lacked_memory_teaches_and_is_not_tried(tmp_path: Path) -> None:
    screening = screening_of(tmp_path)
    for number in range(12):
        proposal = screening.ask()
        assert proposal is not None
        if number == 3:
            ending = screening.report(proposal.training, metrics(1, 0.9, loss=None))
            assert ending is not None
            assert ending.reason is StopReason.DIVERGED
        elif number == 4:
            screening.fail(proposal.training, "no memory", StopReason.MEMORY)
        elif number == 5:
            screening.fail(proposal.training, "a lost node")
        else:
            for epoch in short(proposal.config):
                screening.report(proposal.training, epoch)
    evidence, _ = screening.extend([], (1, 9))
    assert [n for n, each in enumerate(evidence) if each.unfit] == [3, 4]
    assert [n for n, each in enumerate(evidence) if not each.values] == [3, 4, 5]
    origins = [queued.origin for n in range(4) if (queued := screening.queued(n))]
    assert not {"screening 3", "screening 4", "screening 5"} & set(origins)


def test_it_gives_up_when_all_fail(tmp_path: Path) -> None:
    screening = screening_of(tmp_path)
    failed = 0
    while (proposal := screening.ask()) is not None:
        screening.fail(proposal.training, "broken")
        failed += 1
    assert failed == 5
    assert screening.finished()


def test_time_ends_it(tmp_path: Path) -> None:
    left = [100.0]
    screening = screening_of(tmp_path, time_left=lambda: left[0])
    proposal = screening.ask()
    assert proposal is not None
    left[0] = 0.0
    ending = screening.report(proposal.training, short(proposal.config)[0])
    assert ending is not None
    assert ending.reason is StopReason.BUDGET
    assert screening.records[proposal.training].state is TrialState.RUNNING
    assert screening.ask() is None
    assert screening.finished()


def search_of(
    directory: Path, **more: Any
) -> tuple[Supervisor, Study[TrialConfig], Screening[TrialConfig]]:
    store = RunStore(directory)
    screening = screening_of(directory, **more)
    study = Study(
        proposer=proposer_of(),
        rules=RULES,
        trials=10,
        store=store,
        storage=open_journal(directory),
        screening=screening,
    )
    finalists = Finalists(
        study=study, store=SideStore(FINALIST_FILES, directory), count=1, repeats=2, seed=0
    )
    return Supervisor(study, finalists, screening), study, screening


def drive(supervisor: Supervisor, workers: int, most: int = 10_000) -> list[TrainingId]:
    """So many workers train, an epoch each in turn; what they began, in order."""
    begun: list[TrainingId] = []
    running: list[tuple[TrainingId, list[Any]]] = []
    while True:
        while len(running) < workers and (proposal := supervisor.propose()) is not None:
            begun.append(proposal.training)
            rest = curve(proposal.config, proposal.config.epochs)[proposal.epochs_done :]
            running.append((proposal.training, rest))
        if not running or most == 0:
            return begun
        training, rest = running.pop(0)
        most -= 1
        if supervisor.epoch(training, rest.pop(0)) is None:
            running.append((training, rest))


@pytest.mark.parametrize("workers", [1, 3])
def test_trials_wait_for_the_screening_but_the_baseline_does_not(
    tmp_path: Path, workers: int
) -> None:
    supervisor, study, screening = search_of(tmp_path / "run")
    begun = drive(supervisor, workers)
    kinds = ["s" if t.screening else "f" if t.is_finalist else "t" for t in begun]
    assert "".join(kinds).startswith("s" * 12 + "t")
    assert "".join(kinds).lstrip("s").startswith("t" * 10 + "f")
    best = [screening.queued(n) for n in range(KEPT)]
    assert [study.records[n].params for n in range(1, KEPT + 1)] == [q and q.params for q in best]
    assert supervisor.finished()
    assert not supervisor.waiting()
    first = TrainingId(0, screening=True)
    assert isinstance(supervisor.record(first), ScreeningRecord)
    assert len(supervisor.epochs(first)) == 2
    assert next(r.training for r, _ in supervisor.history()) == first
    assert not supervisor.unmeasured(first)


def test_while_the_last_short_training_runs_there_is_more_to_come(tmp_path: Path) -> None:
    supervisor, study, _ = search_of(tmp_path / "run")
    proposals = [supervisor.propose() for _ in range(13)]
    assert [p and p.training.screening for p in proposals] == [True] * 12 + [False]
    assert supervisor.propose() is None  # trial 1 isn't known, and finalists aren't due
    assert supervisor.waiting()
    assert not supervisor.finished()
    assert len(study.records) == 1


def test_a_search_that_is_killed_anywhere_ends_alike(tmp_path: Path) -> None:
    whole, study, screening = search_of(tmp_path / "whole")
    drive(whole, 1)
    for epochs in (5, 24, 30, 60):
        directory = tmp_path / str(epochs)
        killed, before, _ = search_of(directory)
        drive(killed, 1, epochs)
        before.store._lock.release()  # type: ignore[attr-defined]
        again, after, short_ones = search_of(directory)
        drive(again, 1)
        assert short_ones.records == screening.records
        assert [r.params for r in after.records.values()] == [
            r.params for r in study.records.values()
        ]
        assert [r.last_val_top1 for r in after.records.values()] == [
            r.last_val_top1 for r in study.records.values()
        ]


def test_where_it_tells_nothing_the_search_is_the_one_without_it(tmp_path: Path) -> None:
    supervisor, study, _ = search_of(tmp_path / "with", val_images=10)
    drive(supervisor, 1)
    directory = tmp_path / "without"
    alone = Study(
        proposer=proposer_of(), rules=RULES, trials=10, store=RunStore(directory),
        storage=open_journal(directory),
    )  # fmt: skip
    while (proposal := alone.ask()) is not None:
        for epoch in curve(proposal.config):
            if alone.report(proposal.number, epoch):
                break
    assert alone.records == study.records
