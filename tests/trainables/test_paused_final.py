"""Final training that pauses, is killed, or has lost its pages: the same command goes on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from common.files import remove_leftovers
from tests.trainables.test_final import CONFIG, run, write_best
from trainables import final
from trainables.final_model import training

pytestmark = pytest.mark.usefixtures("narrow_resnets")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def best(tiny_data: Path, tmp_path: Path) -> Path:
    return write_best(tmp_path / "best.yaml", tiny_data, config=CONFIG.but(epochs=2).to_dict())


def outcome(folder: Path) -> list[object]:
    """The figures on test, and each epoch's loss."""
    record = json.loads((folder / "final.json").read_text(encoding="utf-8"))
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [json.loads(line)["train_loss"] for line in lines]
    return [record["test_top1"], record["test_loss"], record["config"]["seed"], losses]


def models(*folders: Path) -> bool:
    """Whether all folders hold equal weights."""
    first, *others = (torch.load(each / "model.pt", weights_only=True) for each in folders)
    return all(torch.equal(t, other[name]) for other in others for name, t in first.items())


def test_a_time_budget_pauses_within_an_epoch_and_the_same_command_goes_on(
    best: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A budget that is over at once leaves one step for each command: 2 × 5 of them."""
    assert run(best, tiny_data, "--out", str(tmp_path / "whole"), "--repeats", "2") == 0
    words = ("--out", str(tmp_path / "cut"), "--repeats", "2", "--time-budget", "0.001s")
    said: list[str] = []
    capsys.readouterr()
    while (code := run(best, tiny_data, *words)) == final.UNFINISHED:
        said += re.findall(r"The training in .* goes on from there\.", capsys.readouterr().err)
        assert len(said) < 30
    assert code == 0
    assert said[0] == (
        f"The training in {tmp_path / 'cut'} is saved after step 1 of epoch 1; the same command "
        "goes on from there."
    )
    assert f"{tmp_path / 'cut'} is saved after epoch 1;" in said[4]
    hasnt = f"The training in {tmp_path / 'cut' / 'repeat-2'} hasn't begun; the same command"
    assert [each.startswith(hasnt) for each in said].count(True) == 1
    for folder in ("", "repeat-2"):
        whole, cut = tmp_path / "whole" / folder, tmp_path / "cut" / folder
        assert outcome(cut) == outcome(whole)
        assert models(cut, whole)


@pytest.mark.parametrize("text", ["1:04", "0s", "soon"])
def test_a_time_budget_is_checked_before_any_work(
    text: str, best: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(best, tiny_data, "--time-budget", text)
    assert ended.value.code == 2
    assert f"must be a duration such as 90s, 45m or 1h30m, but got '{text}'" in (
        capsys.readouterr().err
    )


def test_pages_are_written_where_the_model_stands_without_them(
    best: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(best, tiny_data) == 0
    out = best.parent / "final"
    kept = {path: path.stat().st_mtime_ns for path in out.iterdir() if path.suffix != ".html"}
    kept.pop(out / "MODEL_CARD.md")
    monkeypatch.setattr(training, "open_test", None)  # calling it would fail
    for page in ("report.html", "MODEL_CARD.md"):
        (out / page).unlink()
        capsys.readouterr()
        assert run(best, tiny_data) == 0
        assert str(out / page) in capsys.readouterr().out
        assert (out / page).exists()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    os.utime(out / "report.html", ns=(0, 0))  # as if a repeat had come after it
    assert run(best, tiny_data) == 0
    assert (out / "report.html").stat().st_mtime_ns > 0
    assert run(best, tiny_data) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_predictions_that_are_there_are_used(
    best: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the predictions and the model."""

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "_write", kill)
        assert run(best, tiny_data) == 130
    out = best.parent / "final"
    assert sorted(path.name for path in out.iterdir()) == ["checkpoint.pt", "predictions.npz"]
    before = (out / "predictions.npz").stat().st_mtime_ns
    assert run(best, tiny_data) == 0
    assert (out / "predictions.npz").stat().st_mtime_ns == before


def test_temporary_files_of_dead_processes_go(best: Path, tiny_data: Path) -> None:
    out = best.parent / "final"
    out.mkdir()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, alive = (out / f".model.pt.{process}.tmp" for process in (ended.pid, os.getppid()))
    dead.touch()
    alive.touch()
    (out / ".notes.tmp").touch()
    remove_leftovers(out)
    assert not dead.exists()
    assert alive.exists()
    dead.touch()
    assert run(best, tiny_data) == 0
    assert sorted(path.name for path in out.glob(".*")) == [alive.name, ".notes.tmp"]


def start(best: Path, tiny_data: Path, *more: str) -> "subprocess.Popen[str]":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # what runs the tests may ignore it
    return subprocess.Popen(
        [
            sys.executable, "-u", "-m", "trainables.final", "--config", str(best), "--threads", "1",
            "--data", str(tiny_data.parent), *more,
        ],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip


def read_until(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stdout is not None
    while words not in (line := process.stdout.readline()):
        assert line, process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU", "SIGUSR1"])
def test_a_signal_pauses_a_real_command(name: str, tiny_data: Path, tmp_path: Path) -> None:
    best = write_best(
        tmp_path / "best.yaml", tiny_data, config=CONFIG.but(epochs=40, batch_size=8).to_dict()
    )
    whole = start(best, tiny_data, "--out", str(tmp_path / "whole"))
    assert whole.wait(300) == 0
    process = start(best, tiny_data)
    read_until(process, "epoch  3/40")
    time.sleep(0.03)
    process.send_signal(signal.Signals[name])
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.Signals[name]
    assert "Traceback" not in err
    assert re.search(r"is saved after (step \d+ of )?epoch \d+; the same command goes on", err)
    again = start(best, tiny_data)
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert re.search(r"going on after epoch \d+ of 40", out)
    assert outcome(best.parent / "final") == outcome(tmp_path / "whole")
    assert models(best.parent / "final", tmp_path / "whole")


@pytest.mark.slow
def test_a_kill_in_the_second_of_three_repeats(tiny_data: Path, tmp_path: Path) -> None:
    best = write_best(tmp_path / "best.yaml", tiny_data, config=CONFIG.but(epochs=9).to_dict())
    words = ("--repeats", "3")
    process = start(best, tiny_data, *words)
    out = tmp_path / "final"
    read_until(process, "repeat-2: seed 1")
    read_until(process, "epoch 2/9")
    process.kill()
    process.communicate()
    first = (out / "final.json").stat().st_mtime_ns
    assert (out / "report.html").exists()
    again = start(best, tiny_data, *words)
    printed, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert re.findall(r"seed (\d)", printed) == ["1", "2"]
    assert (out / "final.json").stat().st_mtime_ns == first
    assert sorted(path.name for path in out.glob("repeat-*")) == ["repeat-2", "repeat-3"]
    assert "mean test top-1 over seeds" in (out / "MODEL_CARD.md").read_text(encoding="utf-8")
