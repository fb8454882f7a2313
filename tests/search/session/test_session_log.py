import math
import os
import time
from datetime import datetime, timedelta

import pytest

from results.analysis.session_times import GpuTime, sum_gpu_time, used_seconds
from results.records import TrainingId
from results.side_store import FINALIST_FILES, SideStore
from results.store import RunStore, read_epochs
from search.session import session_log
from search.study import budget
from tests.search.study_on_curves import metrics

FRIDAY = 1_700_000_000
STARTED = "2023-11-14T22:13:20+00:00"


class Clock:
    """Seconds that only the test moves."""

    now = 5000.0

    def __call__(self):
        return self.now


def test_time_between_sessions_of_older_versions_does_not_count(tmp_path):
    """Killed on Friday, resumed on Monday for an hour, and again."""
    epochs = tmp_path / "epochs.jsonl"
    epochs.write_text('{"trial":0,"epoch":1}\n', encoding="utf-8")
    os.utime(epochs, (FRIDAY + 7200, FRIDAY + 7200))
    killed = {"started": STARTED, "ended": None}
    second = session_log.add_session([killed], tmp_path, {"commit": "a"})
    assert used_seconds(second) == 7200
    second[-1] |= {"started": "2023-11-17T22:26:40+00:00", "ended": "2023-11-17T23:26:40+00:00"}
    third = session_log.add_session(second, tmp_path, {"commit": "b"})
    assert used_seconds(third) == 7200 + 3600
    assert [s.get("provenance") for s in third] == [None, {"commit": "a"}, {"commit": "b"}]


def test_a_killed_session_of_an_older_version_lasted_until_its_finalists_last_epoch(tmp_path):
    for name, seconds in (("epochs.jsonl", 3600), ("finalist-epochs.jsonl", 5400)):
        (tmp_path / name).write_text('{"trial":0,"epoch":1}\n', encoding="utf-8")
        os.utime(tmp_path / name, (FRIDAY + seconds,) * 2)
    killed = {"started": STARTED, "ended": None}
    assert used_seconds(session_log.add_session([killed], tmp_path, {})) == 5400


def test_a_session_killed_before_its_first_epoch_took_no_time(tmp_path):
    killed = {"started": STARTED, "ended": None}
    assert used_seconds(session_log.add_session([killed], tmp_path, {})) == 0


@pytest.mark.parametrize("set_by_s", [-3600, 3600])
def test_a_clock_that_is_set_changes_no_session_s_time(tmp_path, set_by_s):
    """Two sessions, of which the second is killed; the machine's clock jumps by an hour in each."""
    clock = Clock()
    sessions = session_log.add_session([], tmp_path, {})
    store = RunStore.create(tmp_path / "run", {"sessions": sessions}, clock=clock)
    clock.now += 70
    store.add_epoch(0, metrics(1, 0.1))
    clock.now += 30
    sessions[-1] |= {"ended": shifted(sessions[-1]["started"], set_by_s)}
    sessions[-1] |= {"used_s": store.session_s()}
    store.close()
    assert used_seconds(sessions) == 100
    clock.now += 1e6
    sessions = session_log.add_session(sessions, tmp_path / "run", {})
    store = RunStore(tmp_path / "run", clock=clock)
    store.write_manifest({"sessions": sessions})
    finalists = SideStore(FINALIST_FILES, tmp_path / "run", stamp=store.stamp)
    clock.now += 20
    store.add_epoch(0, metrics(2, 0.1))
    clock.now += 5
    finalists.add_epoch(TrainingId(0, 1), metrics(1, 0.1))
    clock.now += 500
    finalists.close()
    store.close()
    for name in ("epochs.jsonl", "finalist-epochs.jsonl"):
        os.utime(tmp_path / "run" / name, (time.time() + set_by_s,) * 2)
    sessions = session_log.add_session(sessions, tmp_path / "run", {})
    assert [s.get("used_s") for s in sessions] == [100, 25, None]
    assert used_seconds(sessions) == 125
    assert [m.epoch for _, m in read_epochs(tmp_path / "run")] == [1, 2]


def test_a_killed_session_without_an_epoch_does_not_count_those_of_the_one_before(tmp_path):
    sessions = session_log.add_session([], tmp_path, {})
    store = RunStore.create(tmp_path / "run", {"sessions": sessions})
    store.add_epoch(0, metrics(1, 0.1))
    store.close()
    sessions[-1] |= {"ended": sessions[-1]["started"], "used_s": 7.0}
    killed = session_log.add_session(sessions, tmp_path / "run", {})
    assert used_seconds(session_log.add_session(killed, tmp_path / "run", {})) == 7.0


def test_a_killed_session_held_gpus_until_its_last_epoch(tmp_path):
    sessions = session_log.add_session([], tmp_path, {})
    store = RunStore.create(tmp_path / "run", {"sessions": sessions}, clock=Clock())
    store.add_epoch(0, metrics(1, 0.1))
    store.measures = GpuTime(held_s=7.25, busy_s=3.0).to_record
    store.add_epoch(0, metrics(2, 0.1))
    store.close()
    line = (tmp_path / "run" / "epochs.jsonl").read_text(encoding="utf-8").splitlines()[1]
    assert '"trial":0,"session":1,"session_s":0.0,"gpu_s":7.25,"gpu_busy_s":3.0,' in line
    sessions = session_log.add_session(sessions, tmp_path / "run", {})
    assert sessions[0]["gpu_s"] == 7.25
    assert sum_gpu_time(sessions, 1e9) == GpuTime(held_s=7.25, busy_s=3.0)
    assert [m.epoch for _, m in read_epochs(tmp_path / "run")] == [1, 2]


def shifted(moment, seconds):
    return (datetime.fromisoformat(moment) + timedelta(seconds=seconds)).isoformat()


def test_the_countdown_starts_from_what_is_left():
    left = budget.countdown(100.0, 30.0)()
    assert 69 < left <= 70
    time.sleep(0.01)
    assert budget.countdown(None, 1e9)() == math.inf
