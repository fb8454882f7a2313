"""How a training is named: in memory, on disk, and for people."""

import pickle
from pathlib import Path

import pytest

from results.records import FinalistRecord, TrainingId, TrialRecord, TrialState
from results.side_store import FINALIST_FILES, SideStore
from results.store import checkpoint_path, traceback_path


def test_a_trial_s_own_training_and_a_finalist_s_have_names_of_their_own() -> None:
    own, second = TrainingId(7), TrainingId(7, 2)
    assert (own.is_finalist, second.is_finalist) == (False, True)
    assert (str(own), str(second)) == ("trial-0007", "trial-0007-repeat-2")
    assert own.name(baseline=True) == "trial-0007-baseline"
    assert second.name(baseline=False) == "trial-0007-repeat-2"
    assert len({own, second, TrainingId(7, 1), TrainingId(8), TrainingId(7)}) == 4


def test_files_are_named_as_in_older_runs(tmp_path: Path) -> None:
    assert checkpoint_path(tmp_path, TrainingId(12)) == tmp_path / "checkpoints" / "0012.pt"
    second = TrainingId(12, 2)
    assert SideStore(FINALIST_FILES, tmp_path).checkpoint(second).name == "0012-repeat-2.pt"
    assert traceback_path(tmp_path, second) == tmp_path / "errors" / "0012-repeat-2.txt"


def test_records_know_their_training() -> None:
    trial = TrialRecord(number=3, state=TrialState.RUNNING, params={}, config={})
    repeat = FinalistRecord(trial=3, repeat=2, state=TrialState.RUNNING, config={})
    assert (trial.training, repeat.training) == (TrainingId(3), TrainingId(3, 2))


@pytest.mark.parametrize(
    ("number", "repeat", "rule"),
    [
        (-1, None, "number must be a whole number ≥ 0, but got -1."),
        ("3", None, "number must be a whole number ≥ 0, but got '3'."),
        (3, 0, "repeat must be None or ≥ 1, but got 0."),
        (3, True, "repeat must be None or ≥ 1, but got True."),
    ],
)
def test_what_names_no_training_is_refused(number, repeat, rule) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        TrainingId(number, repeat)
    assert str(error.value) == rule


def test_it_travels() -> None:
    assert pickle.loads(pickle.dumps(TrainingId(3, 2))) == TrainingId(3, 2)
