"""Writes the page on when a search is enough: `python -m results.published.make_gain`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.files import write_text_atomically
from results.analysis.intervals import proportion
from results.jsonl import read_lines
from results.published.page_parts import paths_parser, table_head
from results.published.regret_statistics import bootstrap

HERE = Path(__file__).resolve().parent
SEARCHES, PAGE = HERE / "benchmarks" / "gain.jsonl", HERE / "gain.md"

FEWEST_ROWS = 30
"""Tables with fewer rows are shown, but judge nothing: their searches soon train all rows."""

EXTRA = ("algoperf-imagenet_resnet",)
"""These tables have too few configurations for a sampler, and are shown beside the others."""

ALIKE = "records and running trials, {:.0%} alike"
SHARES = (1.0, 0.7, 0.5)
"""The share of the trials that counts as proposed like the next ones was chosen from these."""

MARGIN = 0.05
"""A share is chosen if at most so many of the ended searches gained more than expected: half of
what the interval allows, because tables differ.
"""

INTRODUCTION = """# When it is enough

Whenever a trial ends, a search estimates what another hour would gain in val_top1 of the
configuration that it hands over, and `--min-gain` ends it once that expected gain and the upper end
of its 90 % interval lie below a threshold. How it estimates is in
`search/samplers/expected_gain.py`. How often an ended search would have gained more is measured by
simulated searches, made by `python -m tests.benchmarks.bench_gain --curves …`, and this page by
`python -m results.published.make_gain`.

- {searches} searches with 8 workers on {tables} tables of recorded trainings, {seeds} seeds each,
  of 60 full trainings. Each goes on for three more, so that what an ended one would have gained is
  known.
- An hour is 1, 3 or 10 full trainings long; a table has no hours. Thresholds are per hour.
- **More than said**: the share of ended searches whose next hour raised the val_top1 after full
  training of the configuration handed over by more than the upper end. A nominal 90 % allows one in
  ten. Brackets: 95 % by Wilson's method, of searches as if they were independent.
- Expected, real: the means of the expected gain and of the real one, × 100, over ended searches.
- Cost: what the ended searches took, their running trials included, which end by their rules, in
  per cent of 60 full trainings. Lost: their regret × 100, as in [scheduler.md](scheduler.md), minus
  that of the same search after 60 full trainings; 95 % of 2,000 bootstrap means.
- A running trial's end is taken from the search that went on: later trials, which an ended search
  doesn't have, took part in comparing it.
- Tables of fewer than {fewest} rows ({few}) judge nothing; neither does
  {extra}, whose 46 configurations are too few for a sampler.
- Only the share of trials that counts as alike was chosen by these tables in a way that can be left
  out. That the best ten and a least mean excess of 0.01 count was decided after first looks at all
  of them (seeds 0 to 14): without the least excess, searches that were stuck at the accuracy of a
  guess ended, and up to 3 in 10 of those that ended by hours of 10 trainings gained more than said.
- With a least excess of 0.01 no search ends by 0.002 before it has taken 15 such hours, and by 0.01
  before 7: a short search doesn't know that it is enough.
- Commit {commits}.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluations:
    """Holds the benchmark's lines by (estimator, hour, table)."""

    lines: Mapping[tuple[str, int, str], Sequence[Mapping[str, Any]]]
    headers: Sequence[Mapping[str, Any]]
    rows: Mapping[str, int]

    @property
    def tables(self) -> list[str]:
        """Returns the names of all tables, those that judge first."""
        return sorted(self.rows, key=lambda name: (name not in self.judges, name))

    @property
    def judges(self) -> list[str]:
        """Returns the names of the tables that judge the estimators."""
        rows = self.rows.items()
        return sorted(t for t, count in rows if count >= FEWEST_ROWS and t not in EXTRA)

    @property
    def hours(self) -> list[int]:
        """Returns the lengths of an hour, in full trainings, rising."""
        return sorted({hour for _, hour, _ in self.lines})

    @property
    def thresholds(self) -> list[str]:
        """Returns the thresholds, as the lines name them."""
        return list(next(iter(self.lines.values()))[0]["ends"])

    def ends(
        self, estimator: str, hour: int, threshold: str, tables: Sequence[str]
    ) -> list[Mapping[str, Any] | None]:
        """Returns how each search on the tables ended, or `None` for one that didn't."""
        return [
            line["ends"][threshold]
            for table in tables
            for line in self.lines.get((estimator, hour, table), ())
        ]


def read(path: Path) -> Evaluations:
    """Reads the benchmark's lines in `path`."""
    lines: dict[tuple[str, int, str], list[Mapping[str, Any]]] = {}
    headers, rows = [], dict[str, int]()
    for line in read_lines(path):
        if "task" not in line:
            headers.append(line)
            continue
        rows[line["task"]] = line["rows"]
        lines.setdefault((line["estimator"], line["hour"], line["task"]), []).append(line)
    return Evaluations(lines=lines, headers=headers, rows=rows)


def page(found: Evaluations) -> str:
    """Returns the text of the page."""
    ours = ALIKE.format(SHARES[-1])
    counts = [len(found.lines[ours, found.hours[0], table]) for table in found.tables]
    seeds = " or ".join(map(str, sorted(set(counts))))
    few = [t for t in found.tables if found.rows[t] < FEWEST_ROWS]
    text = INTRODUCTION.format(
        searches=sum(counts),
        tables=len(found.tables),
        seeds=seeds,
        few=" and ".join(few) or "No tables",
        fewest=FEWEST_ROWS,
        extra=" and ".join(EXTRA),
        commits=", ".join(dict.fromkeys(str(h["commit"])[:12] for h in found.headers)),
    )
    parts = [text, *_estimators(found), *_left_out(found), *_calibration(found, ours)]
    for hour in found.hours[:2]:
        for threshold in found.thresholds:
            parts += _table(found, ours, hour, threshold)
    return "\n".join(parts)


def _above(end: Mapping[str, Any]) -> bool:
    return float(end["gained"]) > float(end["upper"]) + 1e-9


def _more_than_said(ends: Sequence[Mapping[str, Any] | None]) -> str:
    ended = [end for end in ends if end]
    if not ended:
        return "–"
    above = sum(map(_above, ended))
    interval = proportion(above / len(ended), len(ended))
    return f"{above} of {len(ended)} [{max(interval.low, 0):.0%}…{interval.high:.0%}]"


def _estimators(found: Evaluations) -> Iterator[str]:
    yield "## Which estimator: more than said, of the searches that ended\n"
    yield table_head(f"| estimator | hour | {' | '.join(f'below {t}' for t in found.thresholds)} |")
    for estimator in dict.fromkeys(name for name, _, _ in found.lines):
        for hour in found.hours:
            ends = [found.ends(estimator, hour, t, found.judges) for t in found.thresholds]
            cells = " | ".join(map(_more_than_said, ends))
            yield f"| {estimator} | {hour} | {cells} |"
    yield (
        "\nThe Gaussian process has six of the seeds, and estimates after each tenth end; its "
        "next trials are the random candidates of the highest expected improvement.\n"
    )


def _worst(found: Evaluations, share: float, tables: Sequence[str]) -> float:
    """Returns the largest part of the ended searches that gained more than said, of all lengths of
    an hour and thresholds by which 20 searches or more ended.
    """
    worst = 0.0
    for hour in found.hours:
        for threshold in found.thresholds:
            ends = found.ends(ALIKE.format(share), hour, threshold, tables)
            ended = [end for end in ends if end]
            if len(ended) >= 20:
                worst = max(worst, sum(map(_above, ended)) / len(ended))
    return worst


def choose_share(found: Evaluations, tables: Sequence[str]) -> float:
    """Returns the largest of `SHARES` that is safe on these tables by `MARGIN`, or the smallest."""
    safe = [share for share in SHARES if _worst(found, share, tables) <= MARGIN]
    return max(safe, default=SHARES[-1])


def _left_out(found: Evaluations) -> Iterator[str]:
    yield "## One table left out at a time\n"
    yield (
        "The one constant that was chosen by these tables is the share of trials that counts as "
        "alike: the largest with which, at every length of an hour and threshold by which 20 "
        f"searches or more ended, at most {MARGIN:.0%} of these gained more than said. Chosen on "
        "the other tables, and judged on the one left out, all thresholds together:\n"
    )
    hours = found.hours
    yield table_head(f"| left out | share | {' | '.join(f'hour {hour}' for hour in hours)} |")
    pooled: dict[int, list[Mapping[str, Any] | None]] = {hour: [] for hour in hours}
    for table in found.judges:
        share = choose_share(found, [each for each in found.judges if each != table])
        cells = []
        for hour in hours:
            name = ALIKE.format(share)
            ends = [e for t in found.thresholds for e in found.ends(name, hour, t, [table])]
            pooled[hour] += ends
            cells.append(_more_than_said(ends))
        yield f"| {table} | {share:.0%} | {' | '.join(cells)} |"
    yield f"| all | | {' | '.join(_more_than_said(pooled[hour]) for hour in hours)} |"
    yield "\nA search that ends by several thresholds counts several times here.\n"


def _calibration(found: Evaluations, ours: str) -> Iterator[str]:
    yield "## The interval during a search, ended or not\n"
    yield "At each tenth end of a trial, while the estimate could be made:\n"
    yield table_head("| table | hour | estimates | above the upper end | expected | real |")
    for hour in found.hours:
        for table in found.tables:
            sums = [line["looks"] for line in found.lines.get((ours, hour, table), ())]
            n = sum(each["n"] for each in sums)
            if n:
                above, expected, real = (
                    sum(each[name] for each in sums) / n for name in ("above", "expected", "gained")
                )
                yield (
                    f"| {table} | {hour} | {n:,} | {above:.1%} | {100 * expected:.2f} | "
                    f"{100 * real:.2f} |"
                )
    yield ""


def _table(found: Evaluations, ours: str, hour: int, threshold: str) -> Iterator[str]:
    yield f"## Hours of {hour} full training{'s' * (hour > 1)}, `--min-gain {threshold}`\n"
    yield table_head("| table | ended | more than said | expected | real | cost, % | lost |")
    groups = [(table, [table]) for table in found.tables] + [("all that judge", found.judges)]
    for name, tables in groups:
        ends = found.ends(ours, hour, threshold, tables)
        ended = [end for end in ends if end]
        if not ended:
            yield f"| {name} | 0 of {len(ends)} | – | – | – | – | – |"
            continue
        mean = {key: float(np.mean([end[key] for end in ended])) for key in ended[0]}
        bounds = bootstrap(100 * np.array([[end["lost"] for end in ended]]))
        lost, low, high = (round(each, 1) + 0.0 for each in (100 * mean["lost"], *bounds))
        yield (
            f"| {name} | {len(ended)} of {len(ends)} | {_more_than_said(ends)} | "
            f"{100 * mean['expected']:.2f} | {round(100 * mean['gained'], 2) + 0.0:.2f} | "
            f"{100 * mean['share']:.0f} | {lost:.1f} [{low:.1f}…{high:.1f}] |"
        )
    yield ""


def main(arguments: list[str] | None = None) -> None:
    """Writes the page, with `arguments` as the command line (default: that of the process)."""
    parser = paths_parser("make_gain", __doc__, out=HERE)
    parser.add_argument("--searches", type=Path, default=SEARCHES, metavar="FILE")
    options = parser.parse_args(arguments)
    write_text_atomically(options.out / PAGE.name, page(read(options.searches)))


if __name__ == "__main__":
    main()
