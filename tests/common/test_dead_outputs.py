"""Real pipes whose reader goes, terminals that close, a full disk: commands finish their work."""

import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.results.example_search import six
from tests.search.test_search import command as search_command
from tests.trainables.test_final import CONFIG, write_best

ROOT = Path(__file__).parents[2]
FINAL = {"final.json", "model.pt", "history.jsonl", "predictions.npz", "report.html"}
RUN = {"best.yaml", "report.html", "manifest.json", "trials.jsonl", "epochs.jsonl"}


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": "", "CI": ""} | more


def piped(words: list[str], reader: str = "head -1", **more: str) -> int:
    """The exit code of a command whose two outputs go into a pipe that is soon closed."""
    pipe = f'"$@" 2>&1 | {reader} > /dev/null; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", pipe, "bash", *words],
        cwd=ROOT, env=environment(**more), check=False, timeout=500,
    )  # fmt: skip
    return done.returncode


def at_dead_terminal(words: list[str], seen: bytes, *, controlling: bool = False) -> int:
    """The exit code of a command whose terminal closes once it has shown some words.

    controlling: whether the terminal is the command's own, so that it sends SIGHUP then.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # what runs the tests may ignore it
    reader, writer = pty.openpty()
    process = subprocess.Popen(
        [*(["setsid", "--ctty"] if controlling else []), *words],
        cwd=ROOT, env=environment(TERM="xterm"), start_new_session=not controlling,
        stdin=writer, stdout=writer, stderr=writer,
    )  # fmt: skip
    os.close(writer)
    shown = b""
    while seen not in shown:
        shown += os.read(reader, 4096)
    os.close(reader)
    return process.wait(300)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def prepare(data: Path, dataset: str, *more: str) -> list[str]:
    return [
        sys.executable, "-u", "-m", "datasets.prepare", dataset, "--data", str(data),
        "--workers", "2", *more,
    ]  # fmt: skip


def final(tmp_path: Path, tiny_data: Path, epochs: int) -> list[str]:
    config = CONFIG.but(epochs=epochs).to_dict()
    best = write_best(tmp_path / "best.yaml", tiny_data, config=config)
    return [
        sys.executable, "-u", "-m", "trainables.final", "--config", str(best), "--threads", "1",
        "--data", str(tiny_data.parent),
    ]  # fmt: skip


@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_report_and_an_export_without_a_reader(reader: str, tmp_path: Path) -> None:
    run = six(tmp_path / "six")
    (run / "report.html").unlink(missing_ok=True)
    for module, file in (("report", "report.html"), ("export", "best.yaml")):
        assert piped([sys.executable, "-u", "-m", f"results.{module}", str(run)], reader) == 0
        assert file in names(run)
    comparison = [sys.executable, "-u", "-m", "results.compare", str(run), str(run)]
    assert piped(comparison, reader) == 0
    assert "comparison.html" in names(tmp_path)


def test_a_conversion_without_a_reader(tmp_path: Path, tiny_zip: Path) -> None:
    words = prepare(tmp_path, "tiny-imagenet", "--source", str(tiny_zip))
    assert piped(words, PYTHONIOENCODING="ascii") == 0
    assert "manifest.json" in names(tmp_path / "tiny-imagenet")


@pytest.mark.slow
def test_a_conversion_at_a_terminal_that_closes(tmp_path: Path) -> None:
    assert at_dead_terminal(prepare(tmp_path, "demo"), b"train.beton") == 0
    assert "manifest.json" in names(tmp_path / "demo")


def test_a_final_training_without_a_reader(tmp_path: Path, tiny_data: Path) -> None:
    assert piped(final(tmp_path, tiny_data, epochs=3), PYTHONIOENCODING="ascii") == 0
    assert names(tmp_path / "final") >= FINAL


@pytest.mark.slow
def test_a_final_training_at_a_terminal_that_closes(tmp_path: Path, tiny_data: Path) -> None:
    assert at_dead_terminal(final(tmp_path, tiny_data, epochs=12), b"epoch  2/12") == 0
    assert names(tmp_path / "final") >= FINAL


@pytest.mark.slow
def test_tables_of_curves_without_a_reader(tmp_path: Path) -> None:
    tables = sorted((ROOT / "results" / "published" / "curves").glob("*.npz"))
    for table in tables:
        shutil.copy(table, tmp_path)
    words = [
        sys.executable, "-u", "-m", "results.published.make_curves",
        "--recordings", str(tmp_path / "none"), "--out", str(tmp_path),
    ]  # fmt: skip
    assert piped(words) == 0
    assert [path.stem for path in sorted(tmp_path.glob("*.md"))] == [each.stem for each in tables]
    assert len(tables) >= 3


@pytest.mark.slow
def test_a_search_without_a_reader(tmp_path: Path, tiny_data: Path) -> None:
    words = search_command(tmp_path, tiny_data, "--trials", "3")
    assert piped(words, PYTHONIOENCODING="ascii", PYTHONUNBUFFERED="1") == 0
    assert names(tmp_path / "run") >= RUN


@pytest.mark.slow
@pytest.mark.parametrize("controlling", [False, True])
def test_a_search_at_a_terminal_that_closes(
    controlling: bool, tmp_path: Path, tiny_data: Path
) -> None:
    """On the terminal's screen: it goes on, or its SIGHUP ends it in order."""
    words = search_command(tmp_path, tiny_data, "--trials", "6", "--epochs", "9")
    code = at_dead_terminal(words, b"1  baseline", controlling=controlling)
    assert code == (128 + signal.SIGHUP if controlling else 0)
    assert names(tmp_path / "run") >= RUN
