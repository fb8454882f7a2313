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

NOTHING = "\nNothing has been measured yet: `make bench` does.\n"


def page(reports: list[dict[str, Any]]) -> str:
    """Returns the text of the performance page. `reports` are the contents of the benchmarks'
    files.
    """
    if not reports:
        return INTRODUCTION + NOTHING
    return "\n".join([INTRODUCTION, *_goals(reports), *_details(reports)])


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
