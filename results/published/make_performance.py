"""Writes the page of the benchmarks' JSON files: `python -m results.published.make_performance`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.files import read_json, write_text_atomically
from results.published.page_parts import (
    commits,
    goal_text,
    measured,
    paths_parser,
    table_head,
)

HERE = Path(__file__).resolve().parent
BENCHMARKS, PAGE = HERE / "benchmarks", HERE / "performance.md"
ELSEWHERE = ("reading", "scale", "scale-earlier")
"""These benchmarks have a page of their own and are left out of the performance page."""

ORDER = ("search", "overhead", "start", "data", "checkpoint")
"""The performance page begins with these benchmarks, in this order."""

INTRODUCTION = """# Performance

Made by `python -m results.published.make_performance` from the JSON files in `benchmarks/`,
which hold every single value. `make bench` measures anew. A ratio comes from pairs that were
measured in turn, in one run on one machine; a figure is the median of n values, with the lowest
and the highest.
"""

LEVERS = (
    ("Training: one process for many trials, FFCV, fused steps",
     "search", "search.run, float32 against Ray Tune as documented, float32"),
    ("The same with bfloat16, where it is faster",
     "search", "search.run (bfloat16) against Ray Tune as documented, float32"),
    ("Kept outputs of frozen stages, all but the last: an epoch",
     "frozen", "an epoch on kept outputs against one on images, all stages but the last frozen"),
    ("… the first training of 15 epochs, which makes them",
     "frozen", "15 epochs, the first training, all stages but the last frozen"),
    ("… what four versions of each image cost in accuracy",
     "views", "gained with views=4, all stages but the last frozen"),
    ("Kept outputs below a linear head: an epoch",
     "frozen", "an epoch on kept outputs against one on images, a linear head"),
    ("… the first training of 15 epochs, which makes them",
     "frozen", "15 epochs, the first training, a linear head"),
    ("… what four versions of each image cost in accuracy",
     "views", "gained with views=4, a linear head"),
    ("Evaluation on a part of val (not built): all that it could save a part of",
     "checkpoint", "evaluation's share of an epoch, resnet18, none frozen"),
)  # fmt: skip
"""Each lever makes a search faster: in words, and the benchmark and figure that measure it."""

ABOUT_LEVERS = """## What makes a search faster, each lever alone

Short trainings of many configurations before the trials (`--fidelity screening`) save trials, not
seconds: what they are worth stands in [race.md](race.md) and [LOG.md](LOG.md), there with what did
not pay, several small trials as one program among it.
"""

NOTHING = "\nNothing has been measured yet: `make bench` does.\n"


def page(reports: list[dict[str, Any]]) -> str:
    """Returns the text of the performance page. `reports` are the contents of the benchmarks'
    files.
    """
    if not reports:
        return INTRODUCTION + NOTHING
    return "\n".join([INTRODUCTION, *_goals(reports), *_levers(reports), *_details(reports)])


def _goals(reports: list[dict[str, Any]]) -> Iterator[str]:
    """Yields the lines of a table of every figure that has a goal."""
    yield "## Goals\n"
    yield table_head("| figure | goal | median | lowest…highest | n | |")
    for report in reports:
        for figure in report["figures"]:
            if figure["goal"]:
                met = "met" if figure["met"] else "**missed**"
                yield f"| {figure['name']} | {goal_text(figure)} | {measured(figure)} | {met} |"
    yield ""


def _levers(reports: list[dict[str, Any]]) -> Iterator[str]:
    """Yields the lines of a table of `LEVERS`, as far as they have been measured."""
    found = {(r["benchmark"], f["name"]): measured(f) for r in reports for f in r["figures"]}
    rows = [f"| {words} | {found[n, f]} |" for words, n, f in LEVERS if (n, f) in found]
    if rows:
        yield from (ABOUT_LEVERS, table_head("| lever | median | lowest…highest | n |"), *rows, "")


def _details(reports: list[dict[str, Any]]) -> Iterator[str]:
    """Yields the lines on each benchmark: its command, machine and versions, and a table of all its
    figures.
    """
    for report in reports:
        machine = report["machine"]
        versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
        work = ", ".join(f"{key} {value}" for key, value in report["workload"].items())
        yield f"## {report['benchmark']}\n"
        yield f"`{report['command']}`\n"
        yield f"- on {machine['cpu']}, {machine['cpus']} cores used, " + (
            f"{machine['memory_gib']:g} GiB, {machine['system']}"
        )
        yield f"- with Python {report['python']}, {versions}"
        yield f"- commit {', '.join(commits(report))}"
        yield f"- work: {work}\n"
        yield table_head("| figure | median | lowest…highest | n |")
        for figure in report["figures"]:
            yield f"| {figure['name']} | {measured(figure)} |"
        yield ""


def read(folder: Path) -> list[dict[str, Any]]:
    """Returns the contents of the benchmarks' files in `folder`, in the page's order."""
    found = {
        path.stem: path for path in sorted(folder.glob("*.json")) if path.stem not in ELSEWHERE
    }
    names = [name for name in ORDER if name in found]
    names += [name for name in found if name not in ORDER]
    return [read_json(found[name]) for name in names]


def main(arguments: list[str] | None = None) -> None:
    """Writes the page, with `arguments` as the command line (default: that of the process)."""
    parser = paths_parser("make_performance", __doc__, benchmarks=BENCHMARKS, out=PAGE)
    options = parser.parse_args(arguments)
    write_text_atomically(options.out, page(read(options.benchmarks)))


if __name__ == "__main__":
    main()
