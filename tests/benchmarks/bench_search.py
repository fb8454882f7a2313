"""What a search costs beyond its training: eight configurations, two at a time on two cores.

The same eight configurations are trained for two epochs on 20 classes × 100 images, in turn
  - through `search.run`, in the default precision and in float32;
  - by the search that Ray Tune's documentation leads to (--yardstick), in float32;
  - in a bare loop (bare_loop.py), in both precisions: the limit.
Wall-clock time of the whole process, from command to exit. A search measures its precision
anew each time, and also evaluates a clean sample of the training images: both are its cost.
Beside it: the time from one trial's end to the next one's first step, from the same runs.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from results.records import TrialState
from results.store import read_epochs, read_manifest, read_trials
from tests.benchmarks import measure
from tests.benchmarks.eight_space import EIGHT, EPOCHS, plain
from tests.benchmarks.measure import BenchmarkError, Goal, Report, last_json
from tests.benchmarks.workload import DATASET, Size, Workload

HERE = Path(__file__).resolve().parent
CONCURRENT = 2
DEFAULT, FLOAT32 = "search.run", "search.run, float32"
YARDSTICK = "Ray Tune as documented, float32"
BARE32, BARE16 = "bare loop, float32", "bare loop, bfloat16"
SIDES = (DEFAULT, FLOAT32, YARDSTICK, BARE32, BARE16)


@dataclass(frozen=True, kw_only=True, slots=True)
class Contest:
    """What is run against each other, on the same images and configurations."""

    workload: Workload
    folders: Path
    configs: Path
    folder: Path
    trials: int
    yardstick: Path

    def search(self, round_: int, *more: str) -> dict[str, Any]:
        """`search.run`, in a folder of its own, so that nothing is known beforehand."""
        out = self.folder / f"runs-{round_}{'-'.join(more)}"
        seconds, _ = measure.run(
            [
                "-m", "search.run", "--space", HERE / "eight_space.py", "--dataset", DATASET,
                "--data", self.workload.data, "--out", out, "--name", "run",
                "--trials", str(self.trials), "--epochs", str(EPOCHS), "--grace", "99",
                "--max-gap", "0", "--concurrency", str(CONCURRENT), *more,
            ]
        )  # fmt: skip
        return {"value": seconds, **checked(out / "run", self.trials)}

    def ray_tune(self) -> dict[str, Any]:
        return self._other([self.yardstick, *self._options(), "--storage", self.folder / "ray"])

    def bare(self, precision: str) -> dict[str, Any]:
        command = ["-m", "tests.benchmarks.bare_loop", "--precision", precision]
        return self._other([*command, *self._options()])

    def _options(self) -> list[str | Path]:
        return [
            "--root", self.folders, "--configs", self.configs, "--epochs", str(EPOCHS),
            "--concurrent", str(CONCURRENT), "--threads", "1",
        ]  # fmt: skip

    def _other(self, command: list[str | Path]) -> dict[str, Any]:
        seconds, out = measure.run(command)
        told = last_json(out)
        if told["epochs"] != self.trials * EPOCHS:
            raise BenchmarkError(f"{command[0]} trained {told['epochs']} epochs, not all.")
        return {
            "value": seconds,
            "images": told["images"],
            "best_val_top1": told["best_val_top1"],
        }


def checked(directory: Path, trials: int) -> dict[str, Any]:
    """What a search did. Raises `BenchmarkError` where it isn't all of the eight's epochs."""
    records, epochs = read_trials(directory), list(read_epochs(directory))
    done = [r for r in records.values() if r.state is TrialState.COMPLETE and r.epochs == EPOCHS]
    asked = [EIGHT[number].items() <= r.config.items() for number, r in records.items()]
    if len(done) != trials or not all(asked):
        raise BenchmarkError(f"{directory} must hold {trials} complete trials of the eight.")
    # The first trials of the workers start with their processes, and count elsewhere.
    handed_over = [
        m.idle_s + m.start_s for number, m in epochs if m.epoch == 1 and number >= CONCURRENT
    ]
    return {
        "precision": read_manifest(directory)["precision"],
        "images": round(sum(m.images_per_s * m.train_s for _, m in epochs)),
        "best_val_top1": max(r.best_val_top1 or 0.0 for r in done),
        "training_s": sum(m.train_s for _, m in epochs),
        "evaluation_s": sum(m.wall_s - m.train_s for _, m in epochs),
        "handed_over_s": handed_over,
        "checkpoints_left": len(list((directory / "checkpoints").glob("*"))),
    }


def _options(arguments: list[str] | None) -> argparse.Namespace:
    made = measure.parser("search", __doc__)
    made.add_argument("--resume", action="store_true", help="keep what an earlier run measured")
    made.add_argument(
        "--yardstick",
        type=Path,
        metavar="FILE",
        default=HERE / "ray_tune_docs_pattern.py",
        help="another script with the same options (default: the one beside this)",
    )
    return measure.parse(made, arguments)


def _measure(contest: Contest, report: Report, rounds: int) -> None:
    precise = ("--precision", "float32")
    for number in range(1, rounds + 1):
        report.measure(DEFAULT, number, partial(contest.search, number))
        report.measure(YARDSTICK, number, contest.ray_tune)
        report.measure(FLOAT32, number, partial(contest.search, number, *precise))
        report.measure(BARE32, number, partial(contest.bare, "float32"))
        report.measure(BARE16, number, partial(contest.bare, "bfloat16"))


def _state(report: Report) -> None:
    trained = {n for name in SIDES for n in report.values(name, "images")}
    if len(trained) != 1:
        raise BenchmarkError(f"All sides must train equally many images, but got {trained}.")
    precision = report.values(DEFAULT, "precision")[0]
    same = BARE16 if precision == "bfloat16" else BARE32
    for name in SIDES:
        report.figure(f"wall clock, {name}", "s", report.values(name))
    pairs = ((DEFAULT, YARDSTICK, 0.42), (FLOAT32, YARDSTICK, 0.68), (DEFAULT, same, 1.08),
             (FLOAT32, BARE32, 1.08))  # fmt: skip
    for side, other, limit in pairs:
        title = f"{side}{f' ({precision})' if side is DEFAULT else ''} against {other}"
        report.figure(title, "×", report.ratios(side, other), Goal(limit=limit))
    waits = [
        wait for name in (DEFAULT, FLOAT32) for each in report.values(name, "handed_over_s")
        for wait in each
    ]  # fmt: skip
    report.figure("from a trial's end to the next one's first step", "s", waits, Goal(limit=0.3))
    left = report.values(DEFAULT, "checkpoints_left") + report.values(FLOAT32, "checkpoints_left")
    report.figure("checkpoints on disk after a search", "files", left, Goal(limit=0))


def benchmark(arguments: list[str] | None = None) -> None:
    options = _options(arguments)
    size = Size(classes=4, images=40) if options.quick else Size(classes=20, images=100)
    trials = 4 if options.quick else len(EIGHT)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        workload = Workload(options.source, folder, size)
        configs = folder / "configs.json"
        configs.write_text(json.dumps(plain(trials)), encoding="utf-8")
        contest = Contest(
            workload=workload,
            folders=workload.folders(),
            configs=configs,
            folder=folder,
            trials=trials,
            yardstick=options.yardstick.resolve(),
        )
        facts = workload.facts() | {"trials": trials, "epochs": EPOCHS, "concurrent": CONCURRENT}
        report = Report(options.out, "search", facts, resume=options.resume)
        _measure(contest, report, options.rounds)
        _state(report)


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
