import pytest

from common.errors import RecordError
from results.records import FinalistRecord, TrainingId, TrialState
from results.side_store import FINALIST_FILES, SideStore
from tests.search.study_on_curves import metrics

PLANNED = FinalistRecord(trial=7, repeat=2, state=TrialState.RUNNING, config={"epochs": 3})
ENDED = FinalistRecord(
    trial=7, repeat=2, state=TrialState.COMPLETE, config={"epochs": 3}, epochs=3, val_top1=0.5
)


def test_what_is_written_is_read_back_and_nothing_is_there_before(tmp_path):
    store = SideStore(FINALIST_FILES, tmp_path)
    assert store.records() == {}
    assert list(store.epochs()) == []
    store.close()
    assert list(tmp_path.iterdir()) == []
    store.add(PLANNED)
    store.add_epoch(TrainingId(7, 2), metrics(1, 0.25, loss=None))
    store.add(ENDED)
    store.close()
    assert FINALIST_FILES.read(tmp_path) == {TrainingId(7, 2): ENDED}
    assert list(FINALIST_FILES.read_epochs(tmp_path)) == [
        (TrainingId(7, 2), metrics(1, 0.25, loss=None))
    ]


def test_a_torn_line_is_cut_off_by_the_next_writer(tmp_path):
    store = SideStore(FINALIST_FILES, tmp_path)
    store.add_epoch(TrainingId(7, 2), metrics(1, 0.25))
    store.close()
    path = tmp_path / "finalist-epochs.jsonl"
    path.write_bytes(path.read_bytes() + b'{"trial":7,"rep')
    again = SideStore(FINALIST_FILES, tmp_path)
    again.add_epoch(TrainingId(7, 2), metrics(2, 0.5))
    again.close()
    assert [m.epoch for _, m in FINALIST_FILES.read_epochs(tmp_path)] == [1, 2]


def test_an_epoch_of_nothing_is_named(tmp_path):
    (tmp_path / "finalist-epochs.jsonl").write_text('{"trial":7}\n', encoding="utf-8")
    with pytest.raises(RecordError, match=r"line 1 is damaged \(repeat must be a whole number"):
        list(FINALIST_FILES.read_epochs(tmp_path))


def test_each_repeat_has_a_checkpoint_and_an_error_of_its_own(tmp_path):
    store = SideStore(FINALIST_FILES, tmp_path)
    path = store.checkpoint(TrainingId(7, 2))
    assert path != store.checkpoint(TrainingId(7, 1))
    path.parent.mkdir()
    path.write_bytes(b"state")
    store.drop_checkpoint(TrainingId(7, 2))
    store.drop_checkpoint(TrainingId(7, 2))
    assert not path.exists()
    store.add_error(TrainingId(7, 2), "it broke")
    assert (tmp_path / "errors" / "0007-repeat-2.txt").read_text(encoding="utf-8") == "it broke"
