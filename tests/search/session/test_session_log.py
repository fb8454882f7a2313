import math
import os
import time

from search.session import session_log
from search.study import budget


def test_time_between_sessions_does_not_count(tmp_path):
    """Killed on Friday, resumed on Monday for an hour, and again."""
    epochs = tmp_path / "epochs.jsonl"
    epochs.write_text("", encoding="utf-8")
    friday, monday = 1_700_000_000, 1_700_260_000
    os.utime(epochs, (friday + 7200, friday + 7200))
    killed = {"started": "2023-11-14T22:13:20+00:00", "ended": None}  # friday
    second = session_log.add_session([killed], tmp_path, {"commit": "a"})
    assert session_log.used_seconds(second) == 7200
    second[-1] |= {"started": "2023-11-17T22:26:40+00:00", "ended": "2023-11-17T23:26:40+00:00"}
    os.utime(epochs, (monday + 3600, monday + 3600))
    third = session_log.add_session(second, tmp_path, {"commit": "b"})
    assert session_log.used_seconds(third) == 7200 + 3600
    assert [s.get("provenance") for s in third] == [None, {"commit": "a"}, {"commit": "b"}]


def test_a_session_killed_among_its_finalists_lasted_until_their_last_epoch(tmp_path):
    for name, seconds in (("epochs.jsonl", 3600), ("finalist-epochs.jsonl", 5400)):
        (tmp_path / name).write_text("", encoding="utf-8")
        os.utime(tmp_path / name, (1_700_000_000 + seconds,) * 2)
    killed = {"started": "2023-11-14T22:13:20+00:00", "ended": None}
    assert session_log.used_seconds(session_log.add_session([killed], tmp_path, {})) == 5400


def test_a_session_killed_before_its_first_epoch_took_no_time(tmp_path):
    killed = {"started": "2023-11-14T22:13:20+00:00", "ended": None}
    assert session_log.used_seconds(session_log.add_session([killed], tmp_path, {})) == 0


def test_the_countdown_starts_from_what_is_left():
    left = budget.countdown(100.0, 30.0)()
    assert 69 < left <= 70
    time.sleep(0.01)
    assert budget.countdown(None, 1e9)() == math.inf
