"""Prints what is known before a search: a plan, and the start of a search."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from rich.console import Console

from common.cli import quote_command
from datasets.manifest import Manifest, read_manifest
from datasets.prepare import remarks
from datasets.registry import find_dataset
from datasets.spec import DatasetError
from datasets.splits import SearchData
from results.analysis.pareto import OBJECTIVES
from search.hardware.allocation import Resources
from search.hardware.calibration import Measurement
from search.hardware.training_speed import TrainingSpeed
from search.monitoring.console import format_parameter, plain_printer
from search.monitoring.plans.cost_text import describe_cost, describe_screening, describe_speed
from search.monitoring.plans.plan_tables import table_of_configs, table_of_ranges
from search.planning.continuation import describe_queue
from search.planning.cost_estimate import finalist_trainings
from search.planning.plan import Plan, make_proposer, size_to_store
from search.planning.screening import ScreeningPlan
from search.planning.warm_start import describe_earlier_runs

FEW_VAL_IMAGES = 300
"""With fewer val images, luck decides a large part of a search (docs/guides/protocol.md)."""


def show_plan(
    plan: Plan,
    images: int | None,
    measurement: Measurement | None,
    speed: TrainingSpeed | None,
    later: Sequence[str],
    screening: ScreeningPlan | str | None = None,
    console: Console | None = None,
) -> None:
    """Prints the dry run: what the search would try, when it would compare trials, and what it may
    cost.

    images: the number of training images, if it is known.
    measurement: what was measured of the baseline's speed, if anything was.
    speed: estimates epochs of so many images, if their number is known.
    later: a phrase for each thing that only the start of the search can check.
    screening: what precedes the trials, or a phrase on why nothing does.
    console: where to print (default: standard output).
    """
    console = console or Console(highlight=False)
    manifest = _find_manifest(plan)
    fingerprint = manifest.fingerprint if manifest else None
    rungs = ", ".join(map(str, plan.rungs)) or "none"
    rows = [
        ("run", str(plan.directory)),
        ("space", f"{plan.options.space}: {plan.space.summary}"),
        ("dataset", f"{plan.dataset}{_dataset_note(plan, manifest)}"),
        ("note", describe_few_val_images(manifest) if manifest else ""),
        ("note", describe_enlarged(plan, manifest) if manifest else ""),
        ("trials", f"{plan.options.trials}, the baseline first; {plan.epochs} epochs at most"),
        *(("note", note) for note in _notes(plan)),
        ("before", describe_screening(screening)),
        ("first", describe_beginning(plan)),
        *(("learns", phrase) for phrase in describe_learning(plan, fingerprint)),
        ("rungs", f"{rungs}; the top 1/{plan.options.reduction_factor} of the trials go on"),
        ("compared", describe_objectives(plan)),
        ("then", describe_finalists(plan)),
        ("fixed", describe_fixed(plan)),
        ("nodes", describe_nodes(plan)),
        ("machine", "; ".join(plan.machine.limits)),
        ("at once", describe_resources(plan)),
        ("budget", describe_budget(plan)),
        ("speed", describe_speed(measurement, plan)),
        ("cost", describe_cost(plan, images, speed, screening)),
        ("later", f"checked when the search begins: {'; '.join(later)}" if later else ""),
    ]
    _print_rows(rows, 9, plain_printer(console))
    console.print(table_of_ranges(plan))
    console.print(table_of_configs(plan))


def _print_rows(
    rows: Iterable[tuple[str, str]], width: int, print_line: Callable[[str], None]
) -> None:
    """Prints (label, text) rows, with `width` characters for the label. Rows without a text are
    left out.
    """
    for label, text in rows:
        if text:
            print_line(f"{label:<{width}}{text}")


def describe_beginning(plan: Plan) -> str:
    """Returns what is tried before the sampler is asked, as far as the number of trials allows. The
    text is empty where that is the baseline alone.
    """
    last = plan.horizons[-1]
    queue = last.queue[: max(plan.options.trials - last.first, 0)]
    if len(queue) < 2:
        return ""
    since = f"from trial {last.first} on {last.epochs} epochs each; " if last.first else ""
    return f"{since}{describe_queue(replace(last, queue=queue))}"


def describe_learning(plan: Plan, fingerprint: str | None) -> list[str]:
    """Returns one phrase for each earlier run on what the sampler learns from it. `fingerprint` is
    that of this search's images, or `None` while it isn't known.
    """
    if plan.options.warm_start and not plan.earlier:
        return [f"from {', '.join(plan.options.warm_start)}, as recorded when the run began"]
    return [
        describe_earlier_runs(run, make_proposer(plan), fingerprint, plan.epochs)
        for run in plan.earlier
    ]


def print_start(plan: Plan, data: SearchData, print_line: Callable[[str], None]) -> None:
    """Prints, through `print_line`, what a search that starts now will do, and on which data."""
    images = f"{len(data.train):,} train + {len(data.val):,} val images"
    manifest = read_manifest(plan.data)
    rungs = ", ".join(map(str, plan.rungs)) or "none"
    trials = f"{plan.options.trials} of up to {plan.epochs} epochs, rungs at {rungs}"
    rows = [
        ("run", str(plan.directory)),
        ("dataset", f"{plan.dataset}: {len(data.images.class_ids)} classes, {images}"),
        *(("data", remark) for remark in remarks(manifest, plan.data)),
        ("note", describe_few_val_images(manifest)),
        ("note", describe_enlarged(plan, manifest)),
        *(("note", note) for note in _notes(plan)),
        ("nodes", describe_nodes(plan)),
        ("machine", "; ".join(plan.machine.limits)),
        ("trials", f"{trials}; {describe_resources(plan)}"),
        ("compared", describe_objectives(plan)),
        ("first", describe_beginning(plan)),
        *(("learns", phrase) for phrase in describe_learning(plan, data.images.fingerprint)),
        ("then", describe_finalists(plan)),
        ("fixed", describe_fixed(plan)),
        ("budget", describe_budget(plan)),
    ]
    _print_rows(rows, 11, print_line)


def describe_few_val_images(manifest: Manifest) -> str:
    """Returns a note on how much accuracies on fewer than `FEW_VAL_IMAGES` images scatter. The text
    is empty for more.
    """
    count = manifest.val_images
    if count >= FEW_VAL_IMAGES:
        return ""
    error = 100 * math.sqrt(0.7 * 0.3 / count)
    told = f"on {count} val images, an accuracy of 70 % has a standard error of {error:.1f} points"
    more = "; `datasets.prepare --val` holds out more for another search"
    return told if manifest.chosen_val else told + more


def describe_enlarged(plan: Plan, manifest: Manifest) -> str:
    """Returns a note if a dataset's images, which may have any size, are stored smaller than the
    largest that a trial uses. The text is empty where no detail is lost.
    """
    stored, wanted = manifest.image_size, plan.bounds.image_size
    sizes = manifest.original_sizes
    if not find_dataset(plan.dataset).any_size or stored >= wanted:
        return ""
    if sizes and sizes["median"] <= stored:
        return ""
    words = (plan.dataset, "--source", manifest.source, "--size", wanted, "--overwrite")
    command = quote_command("python -m datasets.prepare", *words, data=plan.options.data)
    return (
        f"images are stored at {stored} px and enlarged to up to {wanted}: to keep more "
        f"detail, `{command}`"
    )


def describe_objectives(plan: Plan) -> str:
    """Returns by which order trials are compared. The text is empty for a single objective."""
    if len(plan.objectives) < 2:
        return ""
    named = ", ".join(f"{name} ({OBJECTIVES[name]})" for name in plan.objectives)
    return f"by non-dominated rank in {named}"


def describe_fixed(plan: Plan) -> str:
    """Returns the fields that all trials share where they differ from the baseline or would
    otherwise be searched.
    """
    baseline = plan.space.baseline
    searched = make_proposer(plan).searchable()
    changed = (
        f"{name} {format_parameter(value)}"
        for name, value in plan.fixed.items()
        if value != getattr(baseline, name) or name in searched
    )
    return ", ".join(changed) or "nothing"


def describe_resources(plan: Plan) -> str:
    """Returns how many trials run at once, with which resources, and why."""
    return ", and ".join(map(_describe_kind, plan.resources.kinds))


def _describe_kind(r: Resources) -> str:
    gpu = f" and {'1' if r.per_gpu == 1 else f'1/{r.per_gpu}'} GPU" if r.per_gpu else ""
    trials = "trial" if r.concurrent == 1 else "trials"
    return f"{r.concurrent} {trials} of {r.threads} CPU thread(s){gpu} each ({r.why})"


def _notes(plan: Plan) -> Iterator[str]:
    """Yields what the user should know of a changed space, of priors that don't count, and of GPUs
    that stay idle where trials train on GPUs.
    """
    yield from plan.searched.notes
    if plan.searched.priors and len(plan.objectives) > 1:
        yield "the space's priors decide one trial alone where there are several objectives"
    yield from plan.machine.gpu_notes if plan.resources.per_gpu else ()


def describe_nodes(plan: Plan) -> str:
    """Returns a phrase that lists the nodes of the plan's cluster by their hardware; nodes with
    equal hardware are counted together. The text is empty without a cluster.
    """
    if plan.cluster is None:
        return ""
    kinds = Counter(
        (node.machine.cpus, tuple(gpu.name for gpu in node.machine.gpus))
        for node in plan.cluster.nodes
    )
    return ", ".join(
        f"{count} × {cpus} core" + "s" * (cpus > 1) + _describe_gpus(names)
        for (cpus, names), count in kinds.items()
    )


def _describe_gpus(names: Sequence[str]) -> str:
    return "".join(f" and {count} {name}" for name, count in Counter(names).items())


def describe_finalists(plan: Plan) -> str:
    """Returns which trials are trained again after the last trial, and how often."""
    if not (trainings := finalist_trainings(plan)):
        return "no finalists: one seed decides (--finalists 3 trains the best again)"
    others = trainings // plan.options.repeats - 1
    best = f"the {others} best trials and the baseline" if others > 1 else "the best and trial 0"
    repeats = plan.options.repeats
    return f"{best}, {repeats} times each with fresh seeds: {trainings} full trainings"


def describe_budget(plan: Plan) -> str:
    """Returns what limits the search besides its number of trials."""
    o = plan.options
    limits = [o.time_budget] if o.time_budget else []
    limits += [f"{o.gpu_hours:g} GPU-hours"] if o.gpu_hours else []
    limits += [f"hours that gain less than {o.min_gain:g}"] if o.min_gain else []
    if not limits:
        return "none"
    reserve = ", part of it reserved for the finalists" if o.finalists else ""
    return " or ".join(limits) + (", whichever ends first" if len(limits) > 1 else "") + reserve


def _find_manifest(plan: Plan) -> Manifest | None:
    """Returns the manifest of the plan's dataset, or `None` while it isn't prepared."""
    try:
        return read_manifest(plan.data)
    except DatasetError:
        return None


def _dataset_note(plan: Plan, manifest: Manifest | None) -> str:
    if manifest is None:
        size = size_to_store(plan)
        return f" (to be prepared first{f', at {size} px' if size else ''})"
    return f" ({len(manifest.class_ids)} classes, {manifest.train_images:,} training images)"
