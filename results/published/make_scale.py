"""Writes the page of `bench_scale`'s figures: `python -m results.published.make_scale`."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.files import read_json, write_text_atomically
from results.published.page_parts import paths_parser, table_head

HERE = Path(__file__).resolve().parent
FIGURES, PAGE = HERE / "benchmarks" / "scale.json", HERE / "scale.md"
READING = HERE / "benchmarks" / "reading.json"
EARLIER = HERE / "benchmarks" / "scale-earlier.json"
"""This file was written by the same benchmark in the checkout of an earlier commit."""

INTRODUCTION = """# Scale: many trials in one study

Made by `python -m results.published.make_scale` from `benchmarks/scale.json`, which
`{command}` wrote.

{workers} workers of a simulated clock ask and report; the study, the sampler, the rungs, the
records and Optuna's journal are those of `search.run`, on disk. The space is `{space}` with
{epochs} epochs; accuracies are made up. One decision in {every} is the model's, the others draw at
random. **Ray takes no part**: what it costs Ray to hand out trials, and whether its own controller
keeps up with so many, is not measured here.

Times are processor time of the driver's process on {cpu}. Waiting for the disk comes on top: a
trial that starts or ends and an epoch that ends are each flushed to it. With Python {python},
{versions}; commit {commit}.
"""

FIRST = """## What breaks first

A worker that waits for the driver is idle. The last column above is the epoch length, in seconds,
at which {workers} workers keep the driver busy all the time: with shorter epochs it falls behind,
with ten times longer ones it is 10 % busy. After {trials:,} trials that is {epoch_s:.1f} s, and a
decision of the model is {share:.0%} of it. So the first limit is one process that decides for all;
a store that several processes write comes second: the journal has {journal_mb:.0f} MB then, and is
read again in {reopen_s:.0f} s.

The model is conditioned on at most 500 trials, those under way included, the better half the best.
Conditioned on all of them, as the third column shows, a decision's time and memory would grow with
the square and the cube of their number; below 500 there is no difference.
"""

Measurement = dict[str, Any]


def page(content: dict[str, Any]) -> str:
    """Returns the text of the page on scale. `content` is that of the benchmark's file."""
    work, found = content["workload"], content["measurements"]
    parts = [
        INTRODUCTION.format(
            command=content["command"],
            cpu=content["machine"]["cpu"],
            python=content["python"],
            versions=", ".join(f"{n} {content['versions'][n]}" for n in ("optuna", "numpy")),
            commit=", ".join(dict.fromkeys(str(m["commit"])[:12] for m in found)),
            **work,
        )
    ]
    milestones = _measurements_of(found, "study")
    parts += ["\n".join(_study(milestones, work["workers"]))] if milestones else []
    parts += ["\n".join(_decisions(found))]
    reopened = _measurements_of(found, "reopening")
    if reopened:
        again = reopened[-1]
        parts.append(
            f"Going on with a search of {again['trials']:,} trials takes "
            f"{again['value'] + again['journal_s']:.1f} s before the first proposal, of which "
            f"{again['journal_s']:.1f} s read the journal.\n"
        )
    if milestones and reopened:
        last = milestones[-1]
        parts.append(
            FIRST.format(
                workers=work["workers"],
                trials=last["trials"],
                epoch_s=shortest_epoch_s(last, work["workers"]),
                share=_decision_share(last),
                journal_mb=last["journal_mb"],
                reopen_s=reopened[-1]["journal_s"],
            )
        )
    return "\n".join(parts)


def shortest_epoch_s(milestone: Measurement, workers: int) -> float:
    """Returns the length of an epoch, in seconds, at which this many workers keep the driver busy
    all the time.
    """
    return workers * _driver_ms(milestone) / 1000


def _driver_ms(milestone: Measurement) -> float:
    """Returns the driver's milliseconds for one epoch: recording its report, and the epoch's share
    of the model's decisions.
    """
    per_epoch = milestone["trials"] / milestone["epochs"]
    return float(milestone["report_ms"] + per_epoch * milestone["value"])


def _decision_share(milestone: Measurement) -> float:
    return float(1 - milestone["report_ms"] / _driver_ms(milestone))


def _measurements_of(found: list[Measurement], name: str) -> list[Measurement]:
    """Returns the measurements of this name by rising number of trials."""
    return sorted((m for m in found if m["name"] == name), key=lambda m: int(m["trials"]))


def _study(milestones: list[Measurement], workers: int) -> Iterator[str]:
    yield "## As trials pile up\n"
    yield table_head(
        "| trials | a decision, median | p99 | an epoch, median | p99 | memory | journal | records "
        f"| files | epochs a second | shortest epochs for {workers} workers |"
    )
    for m in milestones:
        yield (
            f"| {m['trials']:,} | {m['value']:.0f} ms | {m['p99_ms']:.0f} ms "
            f"| {m['report_ms']:.2f} ms | {m['report_p99_ms']:.2f} ms | {m['memory_mb']:.0f} MB "
            f"| {m['journal_mb']:.1f} MB | {m['records_mb']:.1f} MB | {m['files']} "
            f"| {1000 / _driver_ms(m):.0f} | {shortest_epoch_s(m, workers):.1f} s |"
        )
    yield ""


def _decisions(found: list[Measurement]) -> Iterator[str]:
    """Yields the table of one decision of the model, as the search makes it and without the bound
    on the number of trials.
    """
    unbounded = {m["trials"]: m["value"] for m in _measurements_of(found, "unbounded")}
    yield "## One decision of the model\n"
    yield table_head("| trials, 500 at most under way | conditioned on 500 | conditioned on all |")
    for m in _measurements_of(found, "bounded"):
        all_of_them = unbounded.get(m["trials"])
        shown = "not tried" if all_of_them is None else f"{all_of_them:.0f} ms"
        yield f"| {m['trials']:,} | {m['value']:.0f} ms | {shown} |"
    yield ""


def beside(here: dict[str, Any], earlier: dict[str, Any]) -> str:
    """Returns the page's part on decisions beside those of an earlier commit, at the milestones
    that both have. The arguments are the contents of the benchmark's files.
    """
    before = _measurements_of(earlier["measurements"], "study")
    after = _measurements_of(here["measurements"], "study")
    commit = str(before[0]["commit"])[:7]
    head = f"| trials | median at {commit} | here | ratio | p99 at {commit} | here | ratio |"
    rows = []
    for old, new in zip(before, after, strict=False):
        figures = (
            f"{old[key]:.0f} ms | {new[key]:.0f} ms | {new[key] / old[key]:.2f}"
            for key in ("value", "p99_ms")
        )
        rows.append(f"| {new['trials']:,} | {' | '.join(figures)} |")
    return "\n".join(
        [
            f"## Decisions beside commit {commit}\n",
            "The same benchmark in the checkouts of both commits, on the same machine. A row is of "
            "the thousand trials before.\n",
            table_head(head),
            *rows,
            "",
        ]
    )


def reading(content: dict[str, Any]) -> str:
    """Returns the page's part about reading a run; `content` is that of `bench_reading`'s file."""
    lines = [
        "## Reading a long run\n",
        f"Made from `benchmarks/reading.json`, which `{content['command']}` wrote: processor "
        f"seconds of a process of its own on {content['machine']['cpu']}, and the most memory that "
        "it held; medians.\n",
    ]
    sides = {m["side"]: "" for m in content["measurements"]}
    columns = ["trials", "epochs", "command", "seconds", "memory", "page"]
    columns += ["seconds at 1ba3fe8", "memory", "ratio"] if "beside" in sides else []
    lines.append(table_head(f"| {' | '.join(columns)} |"))
    rows = dict.fromkeys((m["trials"], m["epochs"], m["command"]) for m in content["measurements"])
    for trials, epochs, command in rows:
        here, beside = (
            [
                m
                for m in content["measurements"]
                if (m["trials"], m["command"], m["side"]) == (trials, command, side)
            ]
            for side in ("here", "beside")
        )
        page = f"{here[0]['page_mb']:.1f} MB" if here[0]["page_mb"] else "–"
        cells = [f"{trials:,}", f"{epochs:,}", command, *_cost(here), page]
        if beside:
            ratio = _median(here, "value") / _median(beside, "value")
            cells += [*_cost(beside), f"{ratio:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cost(measurements: list[Measurement]) -> list[str]:
    return [
        f"{_median(measurements, 'value'):.1f} s",
        f"{_median(measurements, 'memory_mb'):.0f} MB",
    ]


def _median(measurements: list[Measurement], key: str) -> float:
    return float(statistics.median(m[key] for m in measurements))


def main(arguments: list[str] | None = None) -> None:
    """Writes the page, with `arguments` as the command line (default: that of the process)."""
    parser = paths_parser(
        "make_scale", __doc__, figures=FIGURES, earlier=EARLIER, reading=READING, out=HERE
    )
    options = parser.parse_args(arguments)
    figures = read_json(options.figures)
    parts = [page(figures)]
    parts += [beside(figures, read_json(options.earlier))] if options.earlier.exists() else []
    parts += [reading(read_json(options.reading))] if options.reading.exists() else []
    write_text_atomically(options.out / PAGE.name, "\n".join(parts))


if __name__ == "__main__":
    main()
