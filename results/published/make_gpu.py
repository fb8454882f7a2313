"""Writes the page of the GPU benchmarks: `python -m results.published.make_gpu`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.files import read_json, write_text_atomically
from results.published.page_parts import (
    commits,
    goal_text,
    measured,
    number_text,
    paths_parser,
    table_head,
)

HERE = Path(__file__).resolve().parent
FOLDER, PAGE = HERE / "gpu", HERE / "gpu.md"
"""The folder holds a JSON file for each card."""

COMMAND = "python -m tests.benchmarks.gpu.bench_gpu"
NOTHING = "not measured yet"

PARTS: dict[str, dict[str, str]] = {
    "speed": {
        "steps": "training steps, beside those of another version",
        "variants": "what would make a step faster",
        "epochs": "training in whole epochs, with images on the GPU and streamed",
        "evaluations": "evaluation, by the number of images at once",
        "augmentations": "augmentation of a batch",
        "loaders": "loading images",
    },
    "correct": {
        "host_waits": "operations that make the host wait for the GPU",
        "captured": "steps as one CUDA graph against steps operation by operation",
        "loaders": "batches that differ from the plain loader's",
        "repeats": "equal, streamed and resumed trainings",
        "against_cpu": "the CPU's numbers against the GPU's",
        "memory_after_a_trial": "memory that a trial leaves",
        "needed": "memory that a trial takes, against what is predicted",
        "full_card": "errors on a full card",
        "micro_batches": "training in pieces where memory is short",
    },
    "packing": {
        "processes": "trainings at once on one card",
        "under_mps": "trainings at once under NVIDIA's MPS",
    },
    "searches": {
        "against_ray_tune": "eight configurations, against Ray Tune as documented",
        "on_all_images": "the rate of a search",
        "busy_share": "the GPU's busy share in a search",
        "by_share": "searches by what is known before, and by a trial's share of the GPU",
    },
}
"""The parts of the benchmark, each with its sections and what these measure."""

GOALS: dict[str, tuple[str, float, bool]] = {
    "search of eight configurations, against Ray Tune as documented": ("×", 0.2, True),
    "rate of a search, against the best packing without MPS": ("×", 0.8, False),
    "step of resnet18, 64 px, batch 64, times as fast as beside": ("×", 1.5, False),
    "GPU busy in a search of ResNet-50 at 64 px": ("%", 80.0, False),
}
"""The goals on an H100: figure -> unit, limit, and whether the figure should be at most that. What
stands beside is commit 1ba3fe8.
"""

INTRODUCTION = """# GPUs

Made by `python -m results.published.make_gpu` from the JSON files in `gpu/`, one for each card,
which hold every single value. `make bench-gpu` measures on the card of the machine and goes on with
what is missing there. A ratio comes from pairs that were measured in turn on one card; a figure is
the median of n values, with the lowest and the highest. Images are made up, as many and as large as
Tiny ImageNet's.
"""

Report = dict[str, Any]


def page(reports: list[Report]) -> str:
    """Returns the text of the page. `reports` are the contents of the cards' files."""
    lines = [INTRODUCTION, *_goals(reports)]
    for report in reports or [{}]:
        lines += _card(report)
    return "\n".join(lines)


def _goals(reports: list[Report]) -> Iterator[str]:
    """Yields the lines of a table of the goals, with a column for each card."""
    cards = [report["workload"]["card"] for report in reports]
    yield "## Goals on an H100\n"
    yield table_head(f"| figure | goal | {' | '.join(cards or ['any card'])} |")
    for name, (unit, limit, at_most) in GOALS.items():
        cells = [_reached(report, name) for report in reports] or [NOTHING]
        goal = goal_text({"goal": {"limit": limit, "at_most": at_most}, "unit": unit})
        yield f"| {name} | {goal} | {' | '.join(cells)} |"
    yield ""


def _reached(report: Report, name: str) -> str:
    """Returns what a card reached of a goal, or that it wasn't measured."""
    found = [figure for figure in report["figures"] if figure["name"] == name]
    if not found:
        return NOTHING
    median = f"{number_text(found[0]['median'])} {found[0]['unit']}"
    return median if found[0]["met"] else f"{median} (**missed**)"


def _card(report: Report) -> Iterator[str]:
    """Yields the lines on one card; on all that is to be measured, if `report` is empty."""
    if report:
        machine, work = report["machine"], report["workload"]
        versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
        facts = ", ".join(f"{key} {value}" for key, value in work.items() if key != "card")
        yield f"## {work['card']}\n"
        yield f"- beside {machine['cpu']}, {machine['cpus']} cores, {machine['memory_gib']:g} GiB"
        yield f"- with Python {report['python']}, {versions}"
        yield f"- commit {', '.join(commits(report))}"
        yield f"- {facts}\n"
    else:
        yield "## What will be measured\n"
    for part, sections in PARTS.items():
        yield f"### {part}\n"
        yield f"`{COMMAND} {part}`\n"
        yield table_head("| figure | median | lowest…highest | n | goal | details |")
        for section, what in sections.items():
            found = [*_rows(report, part, section)]
            command = f"`{COMMAND} {part} --only {section}`"
            yield from found or [f"| {what} | {NOTHING} | | | | {command} |"]
        yield ""


def _rows(report: Report, part: str, section: str) -> Iterator[str]:
    """Yields a row for each figure of a section, and for each measurement that failed."""
    by_name = {m["name"]: m for m in report.get("measurements", ())}
    for figure in report.get("figures", ()):
        one = by_name.get(figure["name"].partition(", times as fast")[0])
        if one is None or (one["part"], one["section"]) != (part, section):
            continue
        goal = goal_text(figure) if figure["goal"] else ""
        missed = "" if figure["met"] in (True, None) else ", **missed**"
        details = _details(one) if figure["name"] == one["name"] else ""
        yield f"| {figure['name']} | {measured(figure)} | {goal}{missed} | {details} |"
    for name, failure in report.get("failures", {}).items():
        if (failure["part"], failure["section"]) == (part, section):
            yield f"| {name} | **failed** | | | | {_cell(failure['error'])} |"


ALWAYS = ("name", "round", "commit", "part", "section", "uuid", "unit", "goal", "value")
"""Every measurement has these keys; those beside them are details."""


def _details(measurement: Report) -> str:
    """Returns the details of a figure's last measurement in words."""
    found = {key: value for key, value in measurement.items() if key not in ALWAYS}
    return ", ".join(f"{key} {_value(value)}" for key, value in found.items())


def _value(value: object) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number_text(float(value)) if number else _cell(str(value))  # type: ignore[arg-type]


def _cell(text: str) -> str:
    """Returns a text on one line, without the sign between a table's cells."""
    return " ".join(text.replace("|", "/").split())


def read(folder: Path) -> list[Report]:
    """Returns the contents of the cards' files in `folder`, in the order of their names."""
    return [read_json(path) for path in sorted(folder.glob("*.json"))]


def main(arguments: list[str] | None = None) -> None:
    """Writes the page, with `arguments` as the command line (default: that of the process)."""
    parser = paths_parser("make_gpu", __doc__, cards=FOLDER, out=PAGE)
    options = parser.parse_args(arguments)
    write_text_atomically(options.out, page(read(options.cards)))


if __name__ == "__main__":
    main()
