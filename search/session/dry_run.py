"""Shows what a search would do, after the checks that the search itself begins with."""

from contextlib import ExitStack
from dataclasses import dataclass

from rich.console import Console

from datasets.manifest import FILE_NAME
from datasets.manifest import read_manifest as read_dataset
from results.store import read_manifest
from search.hardware.training_speed import TrainingSpeed
from search.monitoring.console import plain_printer
from search.monitoring.plans.plan_text import show_plan
from search.planning.cost_estimate import (
    expected_epoch_s,
    expected_epochs,
    learn_from_run,
    training_speed,
)
from search.planning.plan import Plan
from search.planning.screening import ScreeningPlan, plan_screening
from search.session.checks import check_start
from search.session.gpu_allocation import allocate_gpus
from search.session.manifest import read_screening
from search.session.startup import (
    find_measurement,
    in_precision,
    start_measurement,
    torch_process,
    verify_training_images,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Holds what a search may cost.

    `epochs` are those that all of its trainings are expected to have together, and `seconds` the
    time that they take on this machine, with `at_once` trials at the same time; `None` where
    nothing tells it yet.
    """

    epochs: float
    seconds: float | None
    at_once: int


def dry_run(plan: Plan, console: Console, *, resuming: bool, measure: bool) -> Estimate:
    """Prints the plan and returns what the search may cost. Raises `UserError` for whatever would
    stop the search before its first trial, as far as that can be found without starting it.

    measure: whether the speed of training is measured now, for a cost that isn't a rule's.
    """
    saved = read_manifest(plan.directory) if resuming else None
    with ExitStack() as stack:
        torch = stack.enter_context(torch_process(plan))
        checks = check_start(plan, saved, torch, stack, fetch=False)
        if (plan.data / FILE_NAME).exists():
            verify_training_images(plan.data)
        measurement = find_measurement(plan)
        if measure or plan.resources.per_gpu:
            measurement = start_measurement(plan, torch, anew=measure)()[0]
            precision = str(saved["precision"]) if saved else measurement.precision
            images = checks.images
            print_line = plain_printer(console)
            plan = allocate_gpus(plan, precision, print_line, torch, images=images, anew=measure)
    measurement = in_precision(measurement, saved)
    speed = None
    if checks.images is not None:
        speed = training_speed(plan, checks.images, measurement)
        learn_from_run(speed, plan, checks.records)
    prepared = (plan.data / FILE_NAME).exists()
    classes = len(read_dataset(plan.data).class_ids) if prepared else 0
    new = plan_screening(plan, checks.images, classes, speed)
    screening = read_screening(saved) if saved else new
    show_plan(plan, checks.images, measurement, speed, checks.later, screening, console=console)
    return _estimate(plan, speed, screening)


def _estimate(
    plan: Plan, speed: TrainingSpeed | None, screening: ScreeningPlan | str | None
) -> Estimate:
    epochs, found = expected_epochs(plan), expected_epoch_s(plan, speed) if speed else None
    if isinstance(screening, ScreeningPlan):
        epochs += screening.epochs_worth(plan.epochs)
    at_once = plan.resources.at_once
    seconds = epochs * found[0] / at_once if found else None
    return Estimate(epochs=epochs, seconds=seconds, at_once=at_once)
