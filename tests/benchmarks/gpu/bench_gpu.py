"""What a GPU computes, how fast, how many trainings it holds, and whole searches on it.

Four parts: `correct`, `speed`, `packing` and `searches`, each a command of its own, so that a
search finds the card empty. All append to one JSON file a card; what is measured there isn't
measured again. At the end of --budget the measurement under way is interrupted, and the next
command makes it. On a machine with several cards, set CUDA_VISIBLE_DEVICES=0. The page is made by
`python -m results.published.make_gpu`.
"""

import argparse
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path

from results.published.make_gpu import FOLDER, PARTS
from tests.benchmarks import measure
from tests.benchmarks.gpu.bench import Bench, describe_card
from tests.benchmarks.gpu.card_report import CardReport
from tests.benchmarks.measure import TRIED, BenchmarkError


class BudgetSpentError(BaseException):
    """The budget's end; no `Exception`, so that it never counts as a measurement's failure."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.gpu.bench_gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("part", choices=PARTS)
    made.add_argument("--only", nargs="+", metavar="SECTION", help="the part's sections to run")
    made.add_argument(
        "--budget",
        type=float,
        default=480.0,
        metavar="SECONDS",
        help="of the command; default: 480",
    )
    made.add_argument("--rounds", type=int, default=1, metavar="N", help="default: 1")
    made.add_argument(
        "--beside", type=Path, metavar="CHECKOUT", help="another version, for steps side by side"
    )
    made.add_argument("--mini", action="store_true", help="on any machine; its figures are void")
    made.add_argument("--work", type=Path, default=TRIED, metavar="DIR", help="for images and runs")
    made.add_argument("--out", type=Path, metavar="FILE", help="default: named after the card")
    return made


def benchmark(arguments: list[str] | None = None) -> None:
    made = parser()
    given = made.parse_args(arguments)
    sections = PARTS[given.part]
    if unknown := set(given.only or ()) - set(sections):
        made.error(f"--only must name sections of {given.part}: {', '.join(sections)}; "
                   f"but got {', '.join(sorted(unknown))}.")  # fmt: skip
    work = given.work.resolve() / ("gpu-mini" if given.mini else "gpu")
    bench = Bench(mini=given.mini, work=work, beside=given.beside and given.beside.resolve())
    began = time.monotonic()
    card = bench.in_child(describe_card)
    if not (card["card"] or given.mini):
        raise BenchmarkError("torch must find a GPU, but finds none; try --mini instead.")
    bench.prepare()
    images = {name: len(getattr(bench.data, name)) for name in ("train", "val")}
    out, uuid = given.out or _default_out(card["card"], given.mini), card.pop("uuid")
    report = CardReport(out, card | images, uuid)
    with ended_after(given.budget - (time.monotonic() - began)):
        _measure(report, bench, given)
    report.state()


def _default_out(card: str, mini: bool) -> Path:
    name = re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")
    return TRIED / "gpu-mini.json" if mini else FOLDER / f"{name}.json"


def _measure(report: CardReport, bench: Bench, given: argparse.Namespace) -> None:
    module = import_module(f"tests.benchmarks.gpu.{given.part}")
    names = given.only or PARTS[given.part]
    for number in range(1, given.rounds + 1):
        for section in module.SECTIONS:
            if section.__name__ not in names:
                continue
            with closing(section(bench)) as wanted:
                for each in wanted:
                    report.attempt(given.part, section.__name__, each, number)


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """Ends the block after so many seconds, wherever it is, and goes on after it."""

    def spent(*_: object) -> None:
        raise BudgetSpentError

    before = signal.signal(signal.SIGALRM, spent)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    except BudgetSpentError:
        print("The budget is spent; the same command goes on with what is missing.")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
