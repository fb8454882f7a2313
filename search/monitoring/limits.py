"""Defines the limits of a search, and what its plan expects, as the screen shows them."""

from dataclasses import dataclass


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
