"""A search killed anywhere goes on to the same proposals, decisions and rungs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from results.store import read_epochs, read_trials
from search.study.proposer import Proposal
from search.study.study import Study
from tests.search.study.test_study import frozen
from tests.search.study_on_curves import curve, open_study
from trainables.config import TrialConfig

WORKERS, TRIALS = 3, 14


class KilledError(BaseException):
    """The process ends here, and nobody may catch it."""


@dataclass
class Watch:
    """Notes what is written durably, in Optuna's journal too, and ends the process at a write."""

    kill_at: int | None = None
    torn: bool = False
    names: list[str] = field(default_factory=list)

    def on(self, study: Study[TrialConfig]) -> None:
        store, backend = study.store, study._mirror.study._storage._backend  # type: ignore[attr-defined]
        for owner, name in ((store, "add_epoch"), (store, "add_trial"), (backend, "append_logs")):
            setattr(owner, name, self._watched(getattr(owner, name), study))

    def _watched(self, write: Any, study: Study[TrialConfig]) -> Any:
        def watched(*given: Any) -> Any:
            self.names.append(write.__name__)
            if len(self.names) != self.kill_at:
                return write(*given)
            if self.torn:
                write(*given)
                path = study.store.directory / "epochs.jsonl"  # type: ignore[attr-defined]
                path.write_bytes(path.read_bytes()[:-9])
            raise KilledError

        return watched


def drive(study: Study[TrialConfig]) -> None:
    """Three workers, of which the one with the fewest epochs ends its next one first.

    So what runs when is the same for a search that goes on: its workers take up their trials.
    """
    running: dict[int, tuple[int, Proposal[TrialConfig]]] = {}
    while True:
        while len(running) < WORKERS and (proposal := study.ask()) is not None:
            running[proposal.number] = (proposal.epochs_done, proposal)
        if not running:
            return
        number = min(running, key=lambda n: (running[n][0], n))
        done, proposal = running[number]
        running[number] = (done + 1, proposal)
        if study.report(number, curve(proposal.config)[done]):
            del running[number]


def everything(directory: Path, study: Study[TrialConfig]) -> list[Any]:
    """All that a search has decided and told, and its rungs with every value."""
    told = [(t.number, t.params, t.state, t.intermediate_values) for t in frozen(directory)]
    epochs, trials = list(read_epochs(directory)), read_trials(directory)
    rungs = [each._values for each in study.rungs._rungs.values()]
    return [trials, sorted(epochs, key=lambda e: (e[0], e[1].epoch)), told, rungs]


def killed_and_resumed(directory: Path, watch: Watch) -> list[Any]:
    study = open_study(directory, trials=TRIALS)
    watch.on(study)
    with pytest.raises(KilledError):
        drive(study)
    study.store._lock.release()  # type: ignore[attr-defined]  # as the system does
    resumed = open_study(directory, trials=TRIALS)
    drive(resumed)
    return everything(directory, resumed)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[str]]:
    """An uninterrupted search, and the name of each write."""
    directory, watch = tmp_path_factory.mktemp("whole") / "run", Watch()
    study = open_study(directory, trials=TRIALS)
    watch.on(study)
    drive(study)
    return everything(directory, study), watch.names


def after(names: list[str], wanted: tuple[str, str], skip: int) -> int:
    """The number (from 1) of the second of the two writes, where they follow each other."""
    pairs = [n for n in range(1, len(names)) if (names[n - 1], names[n]) == wanted]
    return pairs[skip] + 1


AMID_EPOCH = ("append_logs", "add_epoch")
BEFORE_TELLING = ("add_epoch", "append_logs")
BEFORE_RECORDING = ("append_logs", "add_trial")
AMID_PARAMETERS = ("append_logs", "append_logs")


@pytest.mark.parametrize(
    ("wanted", "skip"),
    [
        (AMID_EPOCH, 5),
        (AMID_EPOCH, 25),
        (BEFORE_TELLING, 5),
        (BEFORE_TELLING, 25),
        (BEFORE_TELLING, 67),  # of an epoch that ends a trial, after which gains are estimated
        (BEFORE_RECORDING, 5),  # of a trial's end
        (BEFORE_RECORDING, 24),  # of one that was asked for
        (AMID_PARAMETERS, 5),  # of the baseline
        (AMID_PARAMETERS, 20),  # of one drawn by chance
        (AMID_PARAMETERS, 108),  # of one drawn by the model
    ],
)
def test_wherever_it_is_killed(tmp_path, whole, wanted, skip):
    uninterrupted, names = whole
    watch = Watch(kill_at=after(names, wanted, skip), torn=wanted is AMID_EPOCH)
    assert killed_and_resumed(tmp_path / "run", watch) == uninterrupted


@pytest.mark.slow
def test_at_any_write(tmp_path, whole):
    uninterrupted, names = whole
    for at, name in list(enumerate(names, 1))[::7]:  # each place of a trial comes by
        resumed = killed_and_resumed(tmp_path / f"{at}" / "run", Watch(kill_at=at))
        assert resumed == uninterrupted, (at, name)


def test_the_search_is_long_enough_to_tell(whole):
    """Some trials are stopped at each rung, and the model proposes the last ones."""
    (trials, _, _, [rungs]), _ = whole
    assert len(trials) == TRIALS
    assert {level: len(values) > 2 for level, values in rungs.items()} == {1: True, 3: True}
    assert {record.epochs for record in trials.values()} >= {1, 3, 9}
