"""One side of the race for a given time: what it would hand over at each share of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

from results.jsonl import read_lines
from results.page.time_use import seconds_by_use
from results.side_store import SCREENING_FILES
from results.store import read_epochs, read_trials
from search.space import Space
from tests.benchmarks.measure import ROOT, BenchmarkError, end_tree
from tests.benchmarks.workload import DATASET, Workload
from trainables.config import TrialConfig

SHARES = (0.05, 0.10, 0.15, 0.25, 0.50, 1.0)
"""Of the race's time, at which what would be handed over is judged."""

LATE_S = 120.0
"""How long a search may take to end after its time: nothing that it says then counts."""

GRACE_S = 5.0
"""Between asking a late search to end and ending it."""

ENDLESS = 10_000
"""Trials of a search that its time ends."""

POLL_S = 0.25

DOCUMENTED, BEFORE, OURS, SCREENED = "documented", "before", "ours", "screening"
BEFORE_COMMIT = "1ba3fe8"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported:
    """An epoch that a search has reported, and when, in seconds from the command's start."""

    at_s: float
    trial: str
    epoch: int
    val_top1: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Race:
    """What all sides have in common."""

    space_name: str
    space: Space
    workload: Workload
    source: Path | None
    seconds: float
    epochs: int
    concurrent: int = 2


Trials = dict[str, dict[str, Any]]
"""Configurations by trial."""


def documented(race: Race, seed: int, folder: Path, loop: dict[str, int]) -> dict[str, Any]:
    """The documented pattern, of this commit, on a folder of JPEGs that lies ready."""
    images = race.workload.search_data().images
    log = folder / "events.jsonl"
    clone(folder / "clone", "HEAD")
    command = [
        "-m", "tests.benchmarks.race_documented", "--space", race.space_name,
        "--root", str(race.workload.folders()), "--mean", *map(str, images.mean),
        "--std", *map(str, images.std), "--seconds", str(race.seconds), "--seed", str(seed),
        "--epochs", str(race.epochs), "--concurrent", str(race.concurrent),
        "--threads", str(loop["threads"]), "--workers", str(loop["workers"]),
        "--log", str(log), "--storage", str(folder / "ray"),
    ]  # fmt: skip
    run_side(command, folder, race.seconds, started_option=True)
    lines = list(read_lines(log))
    trials = {line["trial"]: line["config"] for line in lines}
    reported = [
        Reported(at_s=line["at_s"], trial=line["trial"], epoch=line["epoch"],
                 val_top1=line["val_top1"]) for line in lines
    ]  # fmt: skip
    return summary(race, reported, trials, last_value)


def ours(race: Race, seed: int, folder: Path, side: str) -> dict[str, Any]:
    """`search.run` as a user types it, in a fresh clone of a commit; it converts the images."""
    clone(folder / "clone", BEFORE_COMMIT if side == BEFORE else "HEAD")
    more = ["--fidelity", "screening"] if side == SCREENED else []
    run = folder / "runs" / "race"
    images = [] if race.source is None else ["--dataset", DATASET, "--source", race.workload.zip]
    command = [
        "-m", "search.run", "--space", race.space_name, *map(str, images),
        "--data", str(folder / "data"), "--out", str(run.parent), "--name", run.name,
        "--trials", str(ENDLESS), "--seed", str(seed), "--epochs", str(race.epochs),
        "--concurrency", str(race.concurrent), "--time-budget", f"{race.seconds:g}s",
        *more,
    ]  # fmt: skip
    times = run_side(command, folder, race.seconds, watch=run / "epochs.jsonl")
    records = read_trials(run)
    trials = {str(number): record.config for number, record in records.items()}
    reported = [
        Reported(at_s=at_s, trial=str(number), epoch=metrics.epoch, val_top1=metrics.val_top1 or 0)
        for at_s, (number, metrics) in zip(times, read_epochs(run), strict=False)
        if records[number].trusted
    ]
    found = summary(race, reported, trials, best_value if side == BEFORE else last_value)
    return found | {"seconds": time_use(run, race)}


def time_use(run: Path, race: Race) -> dict[str, float]:
    """What the workers' seconds went to in a search of ours, short trainings and finalists too.

    `other` is what no epoch accounts for: the start of the search and of its workers, and the
    epochs that the end of the time cut off.
    """
    short = [metrics for _, metrics in SCREENING_FILES.read_epochs(run)]
    found = seconds_by_use([*short, *(metrics for _, metrics in read_epochs(run))])
    whole = race.seconds * race.concurrent
    return {name: round(s, 1) for name, s in found.items()} | {
        "other": round(whole - sum(found.values()), 1)
    }


Choose = Callable[[Sequence[Reported]], str]
"""The trial that would be handed over after these epochs."""


def last_value(reported: Sequence[Reported]) -> str:
    """The choice of `ResultGrid.get_best_result`, and of `results.analysis.ranking`: the trial
    whose last report is best, of equal ones the earlier trial.
    """
    last = {each.trial: each.val_top1 for each in reported}
    return max(last, key=last.__getitem__)


def best_value(reported: Sequence[Reported]) -> str:
    """The choice of 1ba3fe8: the trial with the best epoch; of equal ones the earlier trial."""
    best: dict[str, float] = {}
    for each in reported:
        best[each.trial] = max(each.val_top1, best.get(each.trial, 0.0))
    return min(best, key=lambda trial: (-best[trial], int(trial)))


def summary(
    race: Race, reported: Sequence[Reported], trials: Trials, choose: Choose
) -> dict[str, Any]:
    """What is kept of a search: the configuration handed over at each share, and how much it did.

    `None` where nothing had been reported by then.
    """
    handed: list[dict[str, Any] | None] = []
    for share in SHARES:
        seen = [each for each in reported if each.at_s <= share * race.seconds]
        handed.append(trained_in_full(race, trials[choose(seen)]) if seen else None)
    within = [each for each in reported if each.at_s <= race.seconds]
    return {
        "handed_over": handed,
        "first_epoch_s": reported[0].at_s if reported else None,
        "trials": len({each.trial for each in within}),
        "epochs_trained": len(within),
        "best_val_top1": max((each.val_top1 for each in within), default=None),
    }


def trained_in_full(race: Race, config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as it is judged: without what a search decides about its speed alone."""
    whole = TrialConfig.from_record(config).but(
        epochs=race.epochs, precision="auto", seed=0, compile=False
    )
    return whole.to_dict()


def clone(folder: Path, commit: str) -> None:
    """A fresh clone of this project, with nothing but what is committed."""
    for command in (
        ["git", "clone", "--quiet", "--no-checkout", str(ROOT), str(folder)],
        ["git", "-C", str(folder), "checkout", "--quiet", commit],
    ):
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        if done.returncode:
            raise BenchmarkError(f"{' '.join(command[:3])} failed: {done.stderr.strip()}")


def run_side(
    command: list[str],
    folder: Path,
    seconds: float,
    *,
    watch: Path | None = None,
    started_option: bool = False,
) -> list[float]:
    """Runs Python with `command` in `folder`'s clone, as somebody who has never run anything.

    Returns when each line of `watch` was there, in seconds from the start. Raises
    `BenchmarkError` where the command fails before its time is over.
    """
    home = folder / "home"
    home.mkdir(parents=True)
    environment = os.environ | {
        "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "PYTHONPATH": "",
        "PYTHONUNBUFFERED": "1", "RAY_ADDRESS": "local",
    }  # fmt: skip
    started, clock = time.time(), time.perf_counter()
    more = ["--started", repr(started)] if started_option else []
    with (folder / "printed.txt").open("w", encoding="utf-8") as printed:
        process = subprocess.Popen(
            [sys.executable, *command, *more], cwd=folder / "clone", env=environment,
            stdout=printed, stderr=subprocess.STDOUT, encoding="utf-8",
        )  # fmt: skip
        times: list[float] = []
        ended = Flag()
        watcher = Thread(target=_watch, args=(watch, clock, times, ended))
        watcher.start()
        late = False
        try:
            process.wait(seconds + LATE_S)
        except subprocess.TimeoutExpired:
            late = True
            process.send_signal(signal.SIGINT)
        except BaseException:
            end_tree(process)
            raise
        finally:
            ended.set()
            watcher.join()
            if late:
                time.sleep(GRACE_S)
                end_tree(process)
    if process.returncode and not late and time.perf_counter() - clock < seconds:
        text = (folder / "printed.txt").read_text(encoding="utf-8")
        raise BenchmarkError(f"{' '.join(command[:4])} failed: {text[-2000:]}")
    return times


def _watch(path: Path | None, clock: float, times: list[float], ended: Flag) -> None:
    """Notes when each line of a growing file is first seen whole."""
    if path is None:
        return
    last = False
    while not last:
        last = ended.wait(POLL_S)
        try:
            count = path.read_bytes().count(b"\n")
        except FileNotFoundError:
            continue
        times.extend([time.perf_counter() - clock] * (count - len(times)))
