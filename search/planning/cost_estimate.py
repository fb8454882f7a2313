"""Estimates the cost of a plan: its epochs by the rungs, and its time by the training's speed."""

from collections.abc import Sequence
from statistics import fmean

from results.analysis.run_records import RunRecords
from results.records import TrainingId, TrainingRecord
from search.hardware.calibration import Measurement
from search.hardware.training_speed import Source, TrainingSpeed
from search.planning.plan import Plan
from trainables.catalog import frozen_share
from trainables.config import FROZEN_OUTPUTS, TrialConfig

KEPT = 0.004
"""An epoch takes at least this share of the time that it would take if its frozen stages ran: a
linear head on EfficientNet-Lite0's kept outputs (`results/published/performance.md`).
"""


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

    On a GPU, where one trial alone was measured, trials count with the rate that they had together,
    or else with their share of it.
    """
    rate = measurement.rate if measurement else None
    if rate and plan.resources.gpus:
        rate *= plan.resources.gpus
    if plan.packing:
        rate = plan.packing.rate or rate
    return TrainingSpeed(images, plan.resources.kinds, (plan.baseline, rate) if rate else None)


def learn_from_run(speed: TrainingSpeed, plan: Plan, run: RunRecords | None) -> None:
    """Lets `speed` learn from the recorded epochs of the plan's run, if it has begun. Where trials
    train on GPUs and on cores at once, nothing is learnt, because records don't name the device.
    """
    if plan.resources.beside or run is None:
        return
    records: list[TrainingRecord] = [*run.trials.values(), *run.finalists.values()]
    configs = {record.training: record.config for record in records}
    trials = ((TrainingId(number), epoch) for number, epoch in run.recorded)
    made: dict[TrainingId, TrialConfig] = {}
    for training, epoch in (*trials, *run.finalist_epochs):
        if training not in made:
            made[training] = TrialConfig.from_record(configs[training])
        speed.learn(made[training], plan.resources.gpus, epoch)


def expected_epoch_s(plan: Plan, speed: TrainingSpeed) -> tuple[float, Source] | None:
    """Returns the mean seconds of an epoch by the sizes of drawn configurations, and the least
    certain source of that, or `None` where a network's cost is unknown. Where trials have several
    networks, each of them counts alike.
    """
    epochs_per_s, sources = 0.0, set[Source]()
    configs = plan.bounds.usual or plan.drawn
    epochs = _epochs_of_outputs(plan, configs)
    for kind in plan.resources.kinds:
        found = [speed.estimate(config, kind.gpus) for config in configs]
        known = [estimate for estimate in found if estimate is not None]
        if len(known) < len(found):
            return None
        epochs_per_s += kind.concurrent / fmean(
            each.epoch_s * (1.0 if each.source is Source.TRAINED else _kept_share(config, epochs))
            for config, each in zip(configs, known, strict=True)
        )
        sources |= {estimate.source for estimate in known}
    return plan.resources.at_once / epochs_per_s, max(sources, key=list(Source).index)


def _epochs_of_outputs(plan: Plan, configs: Sequence[TrialConfig]) -> float:
    """Returns how many epochs are expected to share the kept outputs of frozen stages: all of them,
    or fewer if `configs`, of which the plan's trials are like, differ in what outputs depend on.
    """
    kinds = {tuple(getattr(each, name) for name in FROZEN_OUTPUTS) for each in configs}
    computed = plan.options.trials * len(kinds) / len(configs) if len(kinds) > 1 else 1
    return max(1.0, expected_epochs(plan)) / computed


def _kept_share(config: TrialConfig, epochs: float) -> float:
    """Returns what an epoch takes where the outputs of frozen stages are kept (`views`) and shared
    by so many epochs, as a share of what it takes where the stages run: a backward pass counts
    twice a forward pass. Epochs that compute a version count in the mean.
    """
    frozen = frozen_share(config.network, config.stem, config.freeze_depth)
    if not config.views or not frozen:
        return 1.0
    trained, computed = 3 * (1 - frozen), frozen * min(1.0, config.views / epochs)
    return max(KEPT, (trained + computed) / (trained + frozen))


def epoch_s_of_networks(plan: Plan, speed: TrainingSpeed) -> dict[str, float | None]:
    """Returns the seconds of an epoch with each network's usual configuration, or `None` where its
    cost is unknown. There are none where all trials have one network.
    """
    gpus = plan.resources.gpus
    found = {each.network: speed.estimate(each, gpus) for each in plan.bounds.usual}
    return {name: each.epoch_s if each else None for name, each in found.items()}
