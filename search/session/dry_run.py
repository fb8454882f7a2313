"""Shows what a search would do, after the checks that the search itself begins with."""

from contextlib import ExitStack

from datasets.manifest import FILE_NAME
from datasets.manifest import read_manifest as read_dataset
from results.store import read_manifest
from search.monitoring.plan_text import show_plan
from search.planning.cost_estimate import learn_from_run, training_speed
from search.planning.plan import Plan
from search.planning.screening import plan_screening
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


def dry_run(plan: Plan, *, resuming: bool, measure: bool) -> int:
    """Prints the plan and returns exit code 0. Raises `UserError` for whatever would stop the
    search before its first trial, as far as that can be found without starting it.

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
            plan = allocate_gpus(plan, precision, print, torch, images=images, anew=measure)
    measurement = in_precision(measurement, saved)
    speed = None
    if checks.images is not None:
        speed = training_speed(plan, checks.images, measurement)
        learn_from_run(speed, plan, checks.records)
    prepared = (plan.data / FILE_NAME).exists()
    classes = len(read_dataset(plan.data).class_ids) if prepared else 0
    new = plan_screening(plan, checks.images, classes, speed)
    screening = read_screening(saved) if saved else new
    return show_plan(plan, checks.images, measurement, speed, checks.later, screening)
