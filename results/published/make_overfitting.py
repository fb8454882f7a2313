"""Writes the page of `bench_overfitting`: `python -m results.published.make_overfitting`."""

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from common.files import write_text_atomically
from results.jsonl import read_lines
from results.published.page_parts import paths_parser, table_head

HERE = Path(__file__).resolve().parent
MEASURED, PAGE = HERE / "benchmarks" / "overfitting.jsonl", HERE / "overfitting.md"

DEFINITION, WIDER = "parted by 1 %", "parted by 0.5 %"
"""By the page's definition, a trial overfits if its curves have parted by 1 %; a wider definition,
by 0.5 %, includes more trials.
"""

MOST_LOST, LEAST_SAVED = 0.005, 0.15
"""By the page's goals, the overfitting rule loses on average at most 0.5 % of the best value, and
saves at least 15 % of the epochs of overfitting trials.
"""
GRID = "ours "
"""In the measurements, the names of the project's own rules begin with this prefix, before their
bound and their number of epochs.
"""

INTRODUCTION = """# The overfitting rule: what it saves, and what it loses

Made by `python -m results.published.make_overfitting` from
[benchmarks/overfitting.jsonl](benchmarks/overfitting.jsonl), which
`{command}`
measured on {cpu}, {cpus} cores, {system}, with Python {python}, {versions}; commit {commit}.

A trial is stopped when, for N epochs in a row, the gap was above a bound, val_top1 no better, and
no higher on average than in as many epochs before. The defaults: {default} (bound, N).

The curves are TaskSet's: text classifiers trained for 51 epochs with random optimizers, {trials:,}
trials on {tasks} tasks. Their losses count as exp(-loss), so that they are fractions, as
accuracies are.

**A trial that overfits** is one whose curves have parted at the end: training ends more than 1 %
above the best validation value of the trial, and validation ends more than 1 % below it, both as
means of the last five epochs. 1 % is twice what a rule may lose, five epochs are more than one bad
one, and training has to end above the best of validation because where nothing is learned both
only sway, and the last value is below the best whatever it is. This was settled on the curves
alone, before any rule was tried on them.

**Lost** is what the best value of a random search of {subset_trials} trials loses by the rule,
relative: the mean over {subsets} such searches a task, drawn from its table, and the worst of them.
"""


RULES = """Two numbers are the bound and N. «In a row» leaves the mean out, «last gap» looks at the
gap of the last epoch alone (0.2, 3 was the rule before), «relative gap» takes it as a share of the
training value, «widened» asks how much it has grown since the best epoch, «patience» doesn't look
at it. To stop each trial at its best epoch would need foresight: nothing saves more and loses
nothing.
"""

CHOICE = """Only the first hold more than a few trials that overfit: the others confirm that nothing
is lost, and the halves of every table stand beside, even and odd rows. All tables were seen while
choosing, so the halves show no more than that the choice doesn't hang on a few trials.

The bound is the first above twice the deviation of a gap that 1,000 images measure (2.2 points at
50 %). N is the least that the noise of 10,000 images doesn't fool, and that of 2,500 seldom: see
below. With fewer validation images a longer `--gap-patience` is worth its epochs. The gap isn't
taken as a share of the validation value: near chance a share is all noise.

Saved of the epochs of trials that overfit / lost:
"""

SEARCHES = """Simulated: {workers} workers, a budget of {budget:g} full trainings, the same with the
rule and without, n pairs of equal task and seed; what the rule saves is spent on further trials.
Regret × 100 after 25, 50 and 100 % of the budget (0: the table's best configuration, 100: its
median), and by how much the best value seen is higher with the rule: mean, lowest and highest.
"""

NOISE = """Made-up accuracies that rise from 40 % by 0.3 points an epoch for 30 epochs, training at
90 %, with the noise of so many validation images: the share of trials that a rule stops, all of
them wrongly.
"""


def page(lines: Sequence[dict[str, Any]]) -> str:
    """Returns the text of the page on overfitting. `lines` are those of the measurement; the first
    one is its header.
    """
    header, figures = lines[0], [line for line in lines if "task" in line and "rule" in line]
    whole = [line for line in figures if line["part"] == "all"]
    tasks = list(dict.fromkeys(line["task"] for line in whole))
    chosen = str(header["default"])
    of_chosen = [line for line in whole if line["rule"] == chosen]
    introduction = INTRODUCTION.format(
        **{key: header[key] for key in ("command", "python", "commit", "subsets", "subset_trials")},
        **{key: header["machine"][key] for key in ("cpu", "cpus", "system")},
        versions=", ".join(f"{n} {header['versions'][n]}" for n in ("numpy", "optuna")),
        default=chosen.removeprefix(GRID),
        trials=sum(line["trials"] for line in of_chosen),
        tasks=len(tasks),
    )
    parts = [
        _goals(of_chosen),
        _rules(whole),
        _tasks(whole, tasks, chosen),
        _definitions(whole, chosen),
        _choice(figures, tasks),
        _searches(header, [line for line in lines if "policy" in line]),
        _noise([line for line in lines if "images" in line]),
        _runs([line for line in lines if "run" in line]),
    ]
    return "\n".join([introduction, *(text for part in parts for text in part)])


def saved(lines: Iterable[dict[str, Any]], those: str = DEFINITION) -> float:
    """Returns the share of the overfitting trials' epochs that the rule saves, over all these
    tables together. `those` names the definition of overfitting.
    """
    counts = [line["overfitting"][those] for line in lines]
    epochs = sum(count["epochs"] for count in counts)
    return sum(count["saved"] for count in counts) / epochs if epochs else 0.0


def lost(lines: Iterable[dict[str, Any]]) -> float:
    """Returns the mean loss of the best value over these tables, as a fraction."""
    return statistics.fmean(line["lost"] for line in lines)


def _goals(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    less, more = lost(lines), saved(lines)
    worst = max(line["lost_worst"] for line in lines)
    yield "## Goals\n"
    yield table_head("| figure | goal | measured | |")
    met = "met" if less <= MOST_LOST else "**missed**"
    yield f"| lost of the best value, mean | ≤ {MOST_LOST:.1%} | {less:.3%} | {met} |"
    met = "met" if more >= LEAST_SAVED else "**missed**"
    goal = f"≥ {LEAST_SAVED:.0%}"
    yield f"| saved of the epochs of trials that overfit | {goal} | {more:.1%} | {met} |\n"
    most = max(line["lost"] for line in lines)
    yield f"On the task where most is lost it is {most:.3%}; the single random search that loses"
    yield f"most loses {worst:.2%}.\n"


def _rules(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "## Rules, all tasks together\n"
    yield RULES
    yield table_head("| rule | saved of all epochs | of trials that overfit | lost | lost, worst |")
    for rule in dict.fromkeys(line["rule"] for line in lines):
        found = [line for line in lines if line["rule"] == rule]
        everything = statistics.fmean(line["saved"] for line in found)
        shares = f"{everything:.1%} | {saved(found):.1%} | {lost(found):.3%}"
        yield f"| {rule} | {shares} | {max(line['lost_worst'] for line in found):.2%} |"
    yield ""


def _tasks(lines: Sequence[dict[str, Any]], tasks: Sequence[str], chosen: str) -> Iterator[str]:
    yield f"## Task by task: {chosen}\n"
    yield "«At the best epoch» is what foresight would save. In brackets: trials whose curves have"
    yield "parted by more than 0.5 %, a wider definition. «Loss rises» is what is lost in terms of"
    yield "the loss itself.\n"
    yield table_head(
        "| task | trials | that overfit | saved | at the best epoch | lost | worst | loss rises |"
    )
    for task in tasks:
        line = _only(lines, task, chosen)
        ideal = _only(lines, task, "at the best epoch")
        counts = [line["overfitting"][those]["trials"] for those in (DEFINITION, WIDER)]
        shares = [f"{saved([each]):.1%} ({saved([each], WIDER):.1%})" for each in (line, ideal)]
        yield (
            f"| {_short(task)} | {line['trials']} | {counts[0]} ({counts[1]}) | {shares[0]} "
            f"| {shares[1]} | {line['lost']:.3%} | {line['lost_worst']:.2%} "
            f"| {line['loss_rise']:.2%} |"
        )
    yield ""


def _definitions(lines: Sequence[dict[str, Any]], chosen: str) -> Iterator[str]:
    of_chosen = [line for line in lines if line["rule"] == chosen]
    ideal = [line for line in lines if line["rule"] == "at the best epoch"]
    yield f"## Other definitions of a trial that overfits: {chosen}\n"
    yield "«Fallen»: the last validation value is so much below the best, and training ends above"
    yield "its value in that epoch. It takes in many trials that sway and have learned nothing.\n"
    yield table_head("| definition | trials | saved | at the best epoch |")
    for those in of_chosen[0]["overfitting"]:
        count = sum(line["overfitting"][those]["trials"] for line in of_chosen)
        yield f"| {those} | {count} | {saved(of_chosen, those):.1%} | {saved(ideal, those):.1%} |"
    yield ""


def _choice(lines: Sequence[dict[str, Any]], tasks: Sequence[str]) -> Iterator[str]:
    """Yields the table of bounds and patiences by halves of the data: one half is for choosing and
    the other for confirming.
    """
    first, second = tasks[: len(tasks) // 2], tasks[len(tasks) // 2 :]
    halves: dict[str, Callable[[dict[str, Any]], bool]] = {
        "first tasks": lambda line: line["part"] == "all" and line["task"] in first,
        "other tasks": lambda line: line["part"] == "all" and line["task"] in second,
        "even trials": lambda line: line["part"] == "even",
        "odd trials": lambda line: line["part"] == "odd",
    }
    yield "## The choice\n"
    names = [", ".join(map(_short, half)) for half in (first, second)]
    yield f"First tasks: {names[0]}; other tasks: {names[1]}."
    yield CHOICE
    yield table_head(f"| bound, N | {' | '.join(halves)} |")
    for rule in dict.fromkeys(line["rule"] for line in lines if line["rule"].startswith(GRID)):
        of_rule = [line for line in lines if line["rule"] == rule]
        cells = []
        for holds in halves.values():
            found = [line for line in of_rule if holds(line)]
            cells.append(f"{saved(found):.1%} / {lost(found):.3%}" if found else "–")
        yield f"| {rule.removeprefix(GRID)} | {' | '.join(cells)} |"
    yield ""


def _searches(header: dict[str, Any], lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not lines:
        return
    yield "## Whole searches\n"
    yield SEARCHES.format(budget=header["budget"], workers=header["workers"])
    yield table_head("| search | n | rule | trials | 25 % | 50 % | 100 % | best value |")
    for policy in dict.fromkeys(line["policy"] for line in lines):
        found = [line for line in lines if line["policy"] == policy]
        gains = [line["with"]["best"] / line["without"]["best"] - 1 for line in found]
        spread = f"{statistics.fmean(gains):+.3%} ({min(gains):+.2%}…{max(gains):+.2%})"
        for rule in ("without", "with"):
            regrets = zip(*(line[rule]["regret"] for line in found), strict=True)
            cells = [f"{100 * statistics.fmean(each):.1f}" for each in regrets]
            trials = statistics.fmean(line[rule]["trials"] for line in found)
            gain = spread if rule == "with" else "–"
            cells = [f"{trials:.1f}", *cells, gain]
            yield f"| {policy} | {len(found)} | {rule} | {' | '.join(cells)} |"
    yield ""


def _noise(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "## Noise\n"
    yield NOISE
    counts = list(dict.fromkeys(line["images"] for line in lines))
    yield table_head(f"| rule | {' | '.join(f'{count:,} images' for count in counts)} |")
    for rule in dict.fromkeys(line["rule"] for line in lines):
        shares = [f"{line['stopped']:.0%}" for line in lines if line["rule"] == rule]
        yield f"| {rule} | {' | '.join(shares)} |"
    yield ""


def _runs(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not lines:
        return
    yield "## Image classification\n"
    yield "Trials of finished searches looked at again, their baselines left out: they are exempt."
    yield "«Lost» is the most that any trial's best val_top1 would have lost.\n"
    yield table_head("| run | rule | trials | stopped | epochs | lost |")
    for line in lines:
        yield (
            f"| {line['run']} | {line['rule']} | {line['trials']} | {line['stopped']} "
            f"| {line['trained']} of {line['epochs']} | {line['lost_worst']:.1%} |"
        )
    yield ""


def _only(lines: Sequence[dict[str, Any]], task: str, rule: str) -> dict[str, Any]:
    return next(line for line in lines if line["task"] == task and line["rule"] == rule)


def _short(task: str) -> str:
    return task.removeprefix("taskset-")


def main(arguments: list[str] | None = None) -> None:
    """Writes the page, with `arguments` as the command line (default: that of the process)."""
    parser = paths_parser("make_overfitting", __doc__, measured=MEASURED, out=PAGE)
    options = parser.parse_args(arguments)
    write_text_atomically(options.out, page(list(read_lines(options.measured))))


if __name__ == "__main__":
    main()
