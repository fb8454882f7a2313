"""Defines the limits of a search, and what its plan expects, as the screen shows them."""

from dataclasses import dataclass

from common.durations import seconds_of
from search.hardware.training_speed import TrainingSpeed
from search.planning.cost_estimate import expected_epoch_s, expected_epochs, finalist_trainings
from search.planning.plan import Plan
from search.planning.screening import ScreeningPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Holds a search's name, its limits, and what its plan expects.

    `trial_epochs` is the expected number of epochs of a trial, on average, and `full_epochs` that
    of a whole training. `epoch_s` are the expected seconds of an epoch, on average, if known, and
    `epoch_source` names where they are from. `finalists` is the number of the finalists' trainings.
    `used_s` is what earlier sessions have used of `time_s`, in seconds. `gpus` is a training's
    share of a GPU where its start doesn't report another. `rungs` are the epochs after which new
    trials are compared by val_top1, and `directory` is the run's path. `dataset` is the name of the
    dataset, where it isn't the space's, in the folder `data`. `None` stands for no limit.
    `screening` is the number of the short trainings before the trials, which together take as long
    as `screening_epochs`, and `val_images` the number of images that accuracies come from.
    The search ends once another hour would gain less than `min_gain`; estimates count from trial
    `first` on, and there are none with several `objectives`, of which this is the number.
    """

    trials: int
    title: str = ""
    space: str = ""
    trial_epochs: float = 0.0
    full_epochs: int = 0
    epoch_s: float | None = None
    epoch_source: str = ""
    finalists: int = 0
    at_once: int = 1
    time_s: float | None = None
    used_s: float = 0.0
    gpu_hours: float | None = None
    min_gain: float = 0.0
    first: int = 0
    objectives: int = 1
    gpus: float = 0.0
    rungs: tuple[int, ...] = ()
    directory: str = ""
    dataset: str = ""
    data: str = "data"
    screening: int = 0
    screening_epochs: float = 0.0
    val_images: int = 0


def make_limits(
    plan: Plan,
    used_s: float,
    speed: TrainingSpeed,
    short: ScreeningPlan | str | None,
    val_images: int,
) -> Limits:
    """Returns the limits that the monitor shows while a plan's search runs.

    used_s: the seconds of earlier sessions.
    short: what precedes the trials, if anything does.
    val_images: the number of images that accuracies come from.
    """
    planned = short if isinstance(short, ScreeningPlan) else None
    expected = expected_epoch_s(plan, speed)
    repeats = finalist_trainings(plan)
    begun = plan.horizons[-1].first
    epochs = expected_epochs(plan) - repeats * plan.epochs
    return Limits(
        title=plan.name,
        space=plan.options.space,
        trials=plan.options.trials,
        trial_epochs=epochs / max(plan.options.trials - begun, 1),
        full_epochs=plan.epochs,
        epoch_s=expected[0] if expected else None,
        epoch_source=expected[1] if expected else "",
        finalists=repeats,
        at_once=plan.resources.at_once,
        time_s=seconds_of(plan.options.time_budget),
        used_s=used_s,
        gpu_hours=plan.options.gpu_hours or None,
        min_gain=plan.options.min_gain,
        first=plan.first,
        objectives=len(plan.objectives),
        gpus=plan.resources.gpus,
        rungs=plan.rungs if len(plan.objectives) == 1 else (),
        directory=str(plan.directory),
        dataset=plan.options.dataset,
        data=plan.options.data,
        screening=planned.count if planned else 0,
        screening_epochs=planned.epochs_worth(plan.epochs) if planned else 0.0,
        val_images=val_images,
    )
