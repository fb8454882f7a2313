"""Writes the page of `bench_race`'s races: `python -m results.published.make_race`."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.files import write_text_atomically
from results.analysis.intervals import Interval, interval
from results.jsonl import read_lines
from results.published.page_parts import paths_parser, table_head
from results.published.regret_figure import Line, draw

HERE = Path(__file__).resolve().parent
RACES, PAGE = HERE / "benchmarks" / "race.jsonl", HERE / "race.md"

DOCUMENTED, OURS = "documented", "ours"
SIDES = {
    DOCUMENTED: "Ray Tune as documented",
    "before": "ours at 1ba3fe8",
    OURS: "ours",
    "screening": "ours, `--fidelity screening`",
}

INTRODUCTION = """# The race: the better configuration after the same time

Searches of one space with the same wall-clock limit on the same two cores, from the command in a
fresh clone with empty caches to what would be handed over. Made by
`python -m tests.benchmarks.bench_race`, and this page by `python -m results.published.make_race`.

- **Ray Tune as documented**: `tests/benchmarks/race_documented.py`. A function trainable with a
  `DataLoader` and network code of its own, `OptunaSearch` over the whole space, `ASHAScheduler`,
  a time budget. It begins with the baseline as ours does, has our first rung (with the
  documentation's grace period of 1 it would do worse), and its images lie ready as files, while
  ours converts them within its time. What the space's author believes, which ours tries after the
  baseline, it isn't told.
- Quality: the configuration that would be handed over at that moment, trained to its end with
  {judges} fresh seeds by one and the same loop; the mean accuracy of the last epoch, in per cent,
  {images}. The documented pattern hands over the trial whose last report is best, as Tune does,
  and so does ours; 1ba3fe8 the trial with the best epoch.
- «–»: nothing to hand over yet in at least one search. Brackets: 95 % intervals over the searches
  (Student's t); the searches' seeds are the same on all sides.
- Time to equal quality: the first of the shares from which on ours holds at least what the
  documented pattern holds at its end, for each seed; 1 where it does so at the end alone or never.
  A search that hands over a good configuration by luck and drops it again doesn't hold it.

What makes ours faster, each lever alone, stands in [performance.md](performance.md).
"""

Search = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """Holds a side's searches of one space by seed. `quality[seed][share]` is in per cent, and is
    `None` where there was nothing to hand over.
    """

    name: str
    searches: dict[int, Search]
    quality: dict[int, list[float | None]]


def key_of(config: dict[str, Any]) -> str:
    """Returns a text of the configuration; equal configurations have equal texts."""
    return json.dumps(config, sort_keys=True)


def sides_of(lines: Sequence[dict[str, Any]], space: str) -> list[Side]:
    """Returns each side's newest searches of `space` by seed."""
    judged = _judged(lines)
    found = []
    for name in SIDES:
        searches = {
            line["seed"]: line
            for line in lines
            if line.get("side") == name and line["space"] == space
        }
        if searches:
            quality = {seed: _quality(line, judged) for seed, line in sorted(searches.items())}
            found.append(Side(name=name, searches=searches, quality=quality))
    return found


def _judged(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Returns the mean accuracy, in per cent, of each judged configuration by its key."""
    values: dict[str, list[float]] = {}
    for line in _trainings(lines):
        values.setdefault(key_of(line["config"]), []).append(100 * line["val_top1"])
    return {key: statistics.fmean(found) for key, found in values.items()}


def _trainings(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the judge's trainings: those on unseen images, if there are some."""
    judged = [line for line in lines if line.get("judged")]
    return [line for line in judged if line.get("unseen")] or judged


def _images(lines: Sequence[dict[str, Any]]) -> str:
    """Returns on which images the configurations were judged."""
    counts = {line["images"] for line in _trainings(lines) if line.get("unseen")}
    if not counts:
        return "on the val images that the searches decide on"
    return f"on {' and '.join(f'{n:,}' for n in sorted(counts))} images that no search has seen"


def _quality(line: Search, judged: dict[str, float]) -> list[float | None]:
    return [None if c is None else judged.get(key_of(c)) for c in line["handed_over"]]


def time_to_equal(
    shares: Sequence[float], ours: Sequence[float | None], theirs: Sequence[float | None]
) -> float:
    """Returns the first share from which on ours holds what theirs holds at the end, else 1.

    shares: of the time, rising, the last one 1. ours, theirs: the quality at each of them, `None`
    where there was nothing to hand over.
    """
    wanted, since = theirs[-1], 1.0
    for share, quality in reversed(list(zip(shares, ours, strict=True))):
        if quality is None or (wanted is not None and quality < wanted):
            break
        since = share
    return since


def _cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return "–"
    if len(known) == 1:
        return f"{known[0]:.1f}"
    found = interval(known)
    return f"{found.mean:.1f} [{found.low:.1f}…{found.high:.1f}]"


def page(lines: Sequence[dict[str, Any]], figures: Path) -> str:
    """Returns the page's text, and writes a figure for each space to the folder `figures`."""
    judges = len({line["seed"] for line in lines if line.get("judged")})
    parts = [INTRODUCTION.format(judges=judges, images=_images(lines))]
    for space in dict.fromkeys(line["space"] for line in lines if "side" in line):
        sides = sides_of(lines, space)
        write_text_atomically(figures / f"race-{space}.svg", _figure(sides, space))
        parts += _section(lines, sides, space)
    return "\n".join(parts)


def _section(lines: Sequence[dict[str, Any]], sides: Sequence[Side], space: str) -> list[str]:
    first = next(iter(sides[0].searches.values()))
    shares = first["shares"]
    rows = []
    for side in sides:
        columns = zip(*side.quality.values(), strict=True)
        seeds = len(side.quality)
        trials = statistics.median(line["trials"] for line in side.searches.values())
        cells = " | ".join(_cell(column) for column in columns)
        rows.append(f"| {SIDES[side.name]} | {seeds} | {trials:g} | {cells} |")
    return [
        f"## `{space}`, {first['minutes']:g} minutes, {first['epochs']} epochs\n",
        table_head(f"| | searches | trials | {' | '.join(f'{share:.0%}' for share in shares)} |"),
        *rows,
        "",
        *_equal(sides, shares),
        *_time_use(sides),
        *_loops(lines, space),
        f"Machine: {_machine(first)}. Commits: {_commits(sides)}.\n",
        *_remarks(sides),
        f"![Quality over time](race-{space}.svg)\n",
    ]


def _remarks(sides: Sequence[Side]) -> list[str]:
    """Returns the remarks on the circumstances of the searches, each of them once."""
    every = [line.get("remark") for side in sides for line in side.searches.values()]
    return [f"Remark: {remark}\n" for remark in dict.fromkeys(every) if remark]


def _equal(sides: Sequence[Side], shares: Sequence[float]) -> list[str]:
    by_name = {side.name: side for side in sides}
    if DOCUMENTED not in by_name:
        return []
    theirs = by_name[DOCUMENTED].quality
    parts = []
    for side in sides:
        both = [seed for seed in side.quality if seed in theirs]
        if side.name != DOCUMENTED and both:
            times = [time_to_equal(shares, side.quality[s], theirs[s]) for s in both]
            parts.append(f"{SIDES[side.name]} {_time(times)}")
    return [f"Time to equal quality, as a share: {'; '.join(parts)}.\n"] if parts else []


def _time(times: Sequence[float]) -> str:
    each = ", ".join(f"{time:g}" for time in times)
    if len(times) == 1:
        return f"**{times[0]:.2f}** (one search)"
    found: Interval = interval(times)
    return f"**{found.mean:.2f}** [{found.low:.2f}…{found.high:.2f}] (searches: {each})"


USES = ("training", "evaluation", "loading", "starting", "idle", "other")


def _time_use(sides: Sequence[Side]) -> list[str]:
    """Returns a table of what the workers' time went to, in the searches that recorded it."""
    rows = []
    for side in sides:
        known = [line["seconds"] for line in side.searches.values() if "seconds" in line]
        if known:
            shares = [[each[use] / sum(each.values()) for use in USES] for each in known]
            cells = (
                f"{100 * statistics.fmean(column):.0f}" for column in zip(*shares, strict=True)
            )
            rows.append(f"| {SIDES[side.name]} | {len(known)} | {' | '.join(cells)} |")
    if not rows:
        return []
    return [
        "What the workers' time went to, in per cent; «starting» is a training's beginning, "
        "«other» the start of the search and of its workers, and epochs that the end cut off:\n",
        table_head(f"| | searches | {' | '.join(USES)} |"),
        *rows,
        "",
    ]


def _loops(lines: Sequence[dict[str, Any]], space: str) -> list[str]:
    loops = [line for line in lines if "loop" in line and line["space"] == space]
    return [
        f"The documented pattern's loop, with {line['loop']['workers']} loader worker and "
        f"{line['loop']['threads']} thread a trial, reaches {line['ratio']:.2f} of the images a "
        f"second of a bare loop on images in memory ({max(line['bare_images_per_s']):.0f} in two "
        "processes).\n"
        for line in loops[-1:]
    ]


def _machine(line: Search) -> str:
    made = line["machine"]
    versions = ", ".join(f"{n} {line['versions'][n]}" for n in ("ray", "optuna", "torch"))
    return f"{made['cpu']}, {made['cpus']} cores, no GPU; {versions}"


def _commits(sides: Sequence[Side]) -> str:
    commits = {str(line["commit"])[:12] for side in sides for line in side.searches.values()}
    return ", ".join(sorted(commits))


def _figure(sides: Sequence[Side], space: str) -> str:
    lines = []
    for side in sides:
        shares = next(iter(side.searches.values()))["shares"]
        at, found = [], []
        for share, column in zip(shares, zip(*side.quality.values(), strict=True), strict=True):
            known = [value for value in column if value is not None]
            if len(known) == len(column):
                at.append(share)
                mean = statistics.fmean(known)
                single = Interval(mean=mean, low=mean, high=mean)
                found.append(interval(known) if len(known) > 1 else single)
        if found:
            lines.append(
                Line(
                    name=SIDES[side.name],
                    at=at,
                    middle=[each.mean for each in found],
                    low=[max(0.0, each.low) for each in found],
                    high=[min(100.0, each.high) for each in found],
                )
            )
    return draw(lines, f"{space}: top-1 of what would be handed over, over the time")


def main(arguments: list[str] | None = None) -> None:
    """Writes the page and its figures, with `arguments` as the command line (default: that of the
    process).
    """
    options = paths_parser("make_race", __doc__, races=RACES, out=HERE).parse_args(arguments)
    write_text_atomically(
        options.out / PAGE.name, page(list(read_lines(options.races)), options.out)
    )


if __name__ == "__main__":
    main()
