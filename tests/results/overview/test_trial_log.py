"""What a trial prints: kept in its run by file descriptor, bounded, private, and shown."""

import gzip
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from results.live.pages import Pages
from results.live.trial_page import LINES, trial_page
from results.overview.trial_log import (
    MOST_BYTES,
    TrialLog,
    append_log,
    log_path,
    read_log,
    remove_empty_logs,
)
from results.records import TrainingId
from results.show import main as show
from tests.results.example_search import six

ROOT = Path(__file__).parents[3]
TRIAL = TrainingId(0)


def keep(directory: Path, text: str) -> None:
    with TrialLog(log_path(directory, TRIAL)):
        os.write(1, text.encode())


def test_both_streams_go_into_the_log_and_where_they_went(
    tmp_path: Path,
) -> None:
    code = (
        "import os, subprocess, sys; from pathlib import Path\n"
        "from results.overview.trial_log import TrialLog\n"
        "print('before', flush=True)\n"
        "log = TrialLog(Path(sys.argv[1]))\n"
        "with log:\n"
        "    print('python out')\n"
        "    print('python err', file=sys.stderr)\n"
        "    os.write(2, b'from C\\n')\n"
        "    subprocess.run(['echo', 'child'])\n"
        "print('between', flush=True)\n"
        "with log:\n"
        "    print('second epoch')\n"
        "    sys.stdout.flush()\n"
        "    os.abort() if len(sys.argv) > 2 else None\n"
        "log.close()\n"
    )
    (tmp_path / "logs").mkdir()

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", code, str(log_path(tmp_path, TRIAL)), *more]
        return subprocess.run(words, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60,
                              check=False)  # fmt: skip

    done = run()
    found = read_log(tmp_path, TRIAL).splitlines()
    assert sorted(found) == ["child", "from C", "python err", "python out", "second epoch"]
    assert found[-1] == "second epoch"
    assert done.stdout.splitlines()[0] == "before"
    assert sorted(done.stdout.splitlines()) == sorted([*found, "before", "between"])
    assert run("crash").returncode != 0
    again = read_log(tmp_path, TRIAL).splitlines()
    assert again[5].startswith("--- it went on at 20")
    assert again[-1] == "second epoch"  # what came before a crash is kept
    assert len(again) == 11


def test_a_log_is_this_user_s_alone_and_goes_where_nothing_was_printed(tmp_path: Path) -> None:
    keep(tmp_path, "one\n")
    path = log_path(tmp_path, TRIAL)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    silent = TrialLog(log_path(tmp_path, TrainingId(1)))
    with silent:
        pass
    assert sorted(each.name for each in path.parent.iterdir()) == ["0000.txt", "0001.txt"]
    remove_empty_logs(tmp_path)
    assert [each.name for each in path.parent.iterdir()] == ["0000.txt"]
    silent.close()
    path.unlink()
    remove_empty_logs(tmp_path)
    assert not path.parent.exists()


def test_a_log_stays_within_its_bound_and_ends_with_the_latest(tmp_path: Path) -> None:
    log = TrialLog(log_path(tmp_path, TRIAL))
    path = log_path(tmp_path, TRIAL)
    sizes = []
    for epoch in range(4):
        with log:
            for number in range(40):
                os.write(1, b"x" * 20_000 + f" {epoch}.{number}\n".encode())
                log.limit()
                sizes.append(path.stat().st_size)
        assert path.stat().st_size <= MOST_BYTES
    log.close()
    assert max(sizes) <= 2 * MOST_BYTES + 20_100
    lines = read_log(tmp_path, TRIAL).splitlines()
    assert lines[0] == "(earlier lines were left out)"
    assert lines[-1].endswith("x 3.39")
    assert all(each.startswith("x") for each in lines[1:])
    shown = read_log(tmp_path, TRIAL, lines=2).splitlines()
    assert shown == [f"({len(lines) - 2} earlier lines were left out)", *lines[-2:]]
    for _ in range(3):  # from another node
        append_log(log_path(tmp_path, TrainingId(2)), b"y\n" * (MOST_BYTES // 3))
    assert log_path(tmp_path, TrainingId(2)).stat().st_size <= MOST_BYTES


def test_what_a_terminal_obeys_and_secrets_never_leave_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "tops3cretvalue")
    keep(tmp_path, "\x1b[31mred\n  3 %\r100 %\r\nkey=tops3cretvalue\n\xff\n")
    assert b"tops3cret" not in log_path(tmp_path, TRIAL).read_bytes()
    lines = read_log(tmp_path, TRIAL).splitlines()
    assert lines[:2] == ["\\x1b[31mred", "100 %"]
    assert lines[2].startswith("key=")
    sent: list[bytes] = []
    with TrialLog(log_path(tmp_path, TrainingId(1)), send=sent.append):
        os.write(2, b"away tops3cretvalue\n")
    assert len(sent) == 1
    assert sent[0].startswith(b"away ")
    assert b"tops3cret" not in sent[0]


def test_a_log_that_can_t_be_opened_keeps_nothing_and_fails_nothing(tmp_path: Path) -> None:
    place = log_path(tmp_path, TRIAL)
    place.parent.mkdir()
    place.symlink_to(tmp_path / "elsewhere")
    keep(tmp_path, "lost\n")
    assert not (tmp_path / "elsewhere").exists()
    assert read_log(tmp_path, TRIAL) == ""
    place.unlink()
    os.mkfifo(place)
    assert read_log(tmp_path, TRIAL) == ""
    assert read_log(tmp_path / "none", TRIAL) == ""


def test_the_log_is_on_the_trial_s_page_and_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = six(tmp_path / "run")
    assert 'id="log"' not in trial_page(run, 0)
    assert show([str(run), "--trial", "0", "--log"]) == 0
    assert capsys.readouterr().out == "trial 0 has printed nothing\n"
    text = "".join(f"line {number} <script>\n" for number in range(LINES + 50))
    append_log(log_path(run, TRIAL), text.encode())
    page = trial_page(run, 0)
    assert 'id="log"' in page
    assert "line 249 &lt;script&gt;" in page
    assert "line 49 &lt;script&gt;" not in page
    assert "(50 earlier lines were left out)" in page
    assert 'id="log"' not in trial_page(run, 1)
    assert show([str(run), "--trial", "0"]) == 0
    assert f"What it printed (250 lines): python -m results.show {run} --trial 0 --log" in (
        capsys.readouterr().out
    )
    assert show([str(run), "--trial", "0", "--log"]) == 0
    assert capsys.readouterr().out == text
    assert show([str(run), "--trial", "0", "--log", "--json"]) == 0
    assert '"log": "line 0 <script>' in capsys.readouterr().out
    assert show([str(run), "--log"]) == 2
    assert "--log must go with --trial" in capsys.readouterr().err


def test_a_trial_s_page_follows_its_log_and_no_other(tmp_path: Path) -> None:
    run = six(tmp_path / "run")
    pages = Pages(run, lambda trial: read_log(run, TrainingId(trial or 0)), lambda: 0.0)
    before = [pages.version(trial) for trial in (None, 0, 1)]
    append_log(log_path(run, TRIAL), b"one\n")
    after = [pages.version(trial) for trial in (None, 0, 1)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
    assert gzip.decompress(pages.page(0).packed) == b"one"
    append_log(log_path(run, TRIAL), b"two\n")
    assert gzip.decompress(pages.page(0).packed) == b"one\ntwo"
