"""Estimates the cost of a plan: its epochs by the rungs, and its time by the training's speed."""

from statistics import fmean

from results.finalist_store import read_finalist_epochs, read_finalists
from results.records import TrainingId, TrainingRecord
from results.store import read_epochs, read_trials
from search.hardware.calibration import Measurement
from search.hardware.training_speed import Source, TrainingSpeed
from search.planning.plan import Plan
from trainables.config import TrialConfig


def expected_epochs(plan: Plan) -> float:
    """Returns the number of epochs of a whole search if each rung lets exactly its share of the
    trials pass, which is a lower estimate.

    The finalists' epochs are included. For an extended run, only the epochs of its last horizon
    count.
    """
    total, reached, share_left = 0.0, 0, 1.0
    for level in (*plan.rungs, plan.epochs):
        total += share_left * (level - reached)
        reached, share_left = level, share_left / plan.options.reduction_factor
    new = max(plan.options.trials - plan.horizons[-1].first, 0)
    proven = min(plan.horizons[-1].proven, new)
    full = proven + finalist_trainings(plan)
    return full * plan.epochs + (new - proven) * total


def finalist_trainings(plan: Plan) -> int:
    """Returns the number of full trainings that follow the trials: all repeats of each finalist and
    of the baseline.
    """
    options = plan.options
    if not options.finalists:
        return 0
    return (min(options.finalists, options.trials - 1) + 1) * options.repeats


def training_speed(plan: Plan, images: int, measurement: Measurement | None) -> TrainingSpeed:
    """Returns the speed of the plan's trainings, of `images` training images an epoch, before any
    of them has run. `measurement` is what was measured of the baseline, if anything was.
    """
    rate = measurement.rate if measurement else None
    return TrainingSpeed(images, plan.resources.kinds, (plan.baseline, rate) if rate else None)


def learn_from_run(speed: TrainingSpeed, plan: Plan) -> None:
    """Lets `speed` learn from the recorded epochs of the plan's run, if there are any. Where trials
    train on GPUs and on cores at once, nothing is learnt, because records don't name the device.
    Raises `RecordError` for damaged records.
    """
    if plan.resources.beside:
        return
    records: list[TrainingRecord] = [*read_trials(plan.directory).values()]
    records += read_finalists(plan.directory).values()
    configs = {record.training: record.config for record in records}
    trials = ((TrainingId(number), epoch) for number, epoch in read_epochs(plan.directory))
    made: dict[TrainingId, TrialConfig] = {}
    for training, epoch in (*trials, *read_finalist_epochs(plan.directory)):
        if training in configs and training not in made:
            made[training] = TrialConfig.from_record(configs[training])
        if training in made:
            speed.learn(made[training], plan.resources.gpus, epoch)


def expected_epoch_s(plan: Plan, speed: TrainingSpeed) -> tuple[float, Source] | None:
    """Returns the mean seconds of an epoch by the sizes of the first configurations, and the least
    certain source of that, or `None` where a network's cost is unknown.
    """
    epochs_per_s, sources = 0.0, set[Source]()
    for kind in plan.resources.kinds:
        found = [speed.estimate(config, kind.gpus) for config in plan.preview]
        known = [estimate for estimate in found if estimate is not None]
        if len(known) < len(found):
            return None
        epochs_per_s += kind.concurrent / fmean(estimate.epoch_s for estimate in known)
        sources |= {estimate.source for estimate in known}
    return plan.resources.at_once / epochs_per_s, max(sources, key=list(Source).index)
