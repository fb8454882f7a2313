"""Defines a trial's configuration: one frozen record that checks itself."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, Self, get_args

from common.errors import UserError
from common.text import did_you_mean
from trainables.catalog import NETWORKS, STEMS, is_external, network_rules
from trainables.conditional_fields import (
    CONDITIONAL,
    CONDITIONAL_DEFAULTS,
    MAX_EPOCHS,
    ONCE_UNCONDITIONAL,
    conditional_rules,
)

NORMALISATIONS = ("dataset", "half", "imagenet", "unit")
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "cyclical", "one-cycle", "step")
POLICIES = ("none", "rand", "trivial")
PRECISIONS = ("auto", "bfloat16", "float16", "float32")
"""The fields `normalise`, `optimizer`, `schedule`, `policy` and `precision` have these values."""
FROZEN_OUTPUTS = (
    "network", "stem", "freeze_depth", "image_size", "normalise", "flip", "crop", "policy",
    "policy_magnitude", "cutout", "precision",
)  # fmt: skip
"""Trainings with `views` share their frozen stages' outputs if these fields have equal values."""
MAX_BATCH, MAX_SEED, MAX_VIEWS = 65_536, 2**63 - 1, 1000
"""A step has at most so many images, torch takes no larger seed, and no more versions are kept."""


class ConfigError(UserError, ValueError):
    """This error says that a configuration breaks rules; `errors` holds one sentence for each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialConfig:
    """A `TrialConfig` holds everything that decides a trial. The constructor raises `ConfigError`,
    which lists every broken rule at once.

    network: the architecture: one of `catalog.NETWORKS`, or a library's network, `timm:NAME` or
    `torchvision:NAME`.
    image_size: side in pixels of the images that the network sees, 32…224. Stored images are
    resized on the device.
    normalise: which shift and scale pixels get: `dataset` (the dataset's own mean and standard
    deviation of each channel), or what pretrained weights expect, which is `imagenet` (ImageNet's
    mean and standard deviation), `half` ((x - 127) / 128) or `unit` (x / 255).
    stem: `imagenet` (7×7 stride 2, then pooling) or `small` (3×3 stride 1, no pooling).
    weights: `none`, `imagenet`, or the path of a state-dict file.
    freeze_depth: how many stages, from the stem on, don't train (0: all stages train). The number
    of stages of a library's network is known once the network is built, before a search starts.
    views: how many fixed augmented versions of each image the frozen stages see, a version an epoch
    in turn; 0 augments anew in every epoch. The stages run once for each version, and their outputs
    are kept on disk. MixUp and CutMix then mix these outputs instead of images, which is another
    training. Where no stage is frozen, where an image's output has more than 32,768 numbers, and
    for a library's network, this changes nothing (`trainables.training.frozen_views`).
    head_width: number of outputs of a dense layer with ReLU before the last layer (0: no such
    layer).
    dropout: probability of dropout before the last dense layer; mini_alexnet also uses this
    probability after each of its own dense layers.
    label_smoothing: share of the target that is spread evenly over the classes.
    class_weighting: how strongly the loss favours classes that were recognised badly after the
    previous epoch; 0 turns this off (the formula: `trainables.training.class_weights`). A search
    takes the recall from val; final training takes it from a sample of train, so the effect fades
    as the network memorises that sample.
    ema: decay per step of an exponential moving average of the weights, which is then evaluated and
    saved in their place; 0 turns this off (`trainables.training.ema`).
    mixup_alpha: alpha of MixUp's Beta(alpha, alpha); 0 turns MixUp off (Zhang et al. 2018).
    cutmix_alpha: alpha of CutMix's Beta(alpha, alpha); 0 turns CutMix off (Yun et al. 2019). If
    both alphas are above 0, each batch gets one of the two methods, with equal chance.
    policy: `none`, `trivial` or `rand`. `trivial` applies one operation of a random strength to
    each image (TrivialAugment Wide, Müller & Hutter 2021); `rand` applies two operations of a fixed
    strength (RandAugment, Cubuk et al. 2020).
    policy_magnitude: strength of the operations of `rand`, 0…30; only with `policy=rand` (default:
    9).
    cutout: side of the erased square, as a share of the image side; 0 turns this off.
    flip: whether half of the training images are mirrored, chosen at random.
    crop: largest random shift, as a share of the image side; 0 turns this off.
    optimizer: `adam`, `adamw` or `sgd`.
    lr: the learning rate, the highest of its schedule.
    weight_decay: weight decay of weights with two or more dimensions; `adamw` decouples it from the
    gradient.
    momentum: momentum of SGD; only with `optimizer=sgd` (default: 0).
    schedule: `constant`, `cosine`, `cyclical`, `one-cycle` or `step`. `step` multiplies lr by a
    factor every few epochs. `cyclical` rises from lr/10 to lr and falls back, in straight lines
    (Smith 2017).
    step_epochs: number of epochs between two steps; only with `schedule=step` (default: 7).
    step_factor: factor of each step; only with `schedule=step` (default: 0.1).
    cycles: the number of triangles; only with `schedule=cyclical` (default: 1).
    warmup_epochs: epochs of linear warm-up from 0 before the schedule; must be 0 with `one-cycle`,
    which has a warm-up of its own.
    batch_size: images per optimizer step.
    micro_batch_size: the largest number of images that go through the network at once, in training
    and in evaluation (default: the whole batch). A step accumulates the gradients of its pieces, so
    it follows the gradient of the same mean loss. BatchNorm takes its statistics from each piece,
    and every piece enters its running averages (`trainables.training.micro_batches`).
    epochs: the horizon: the number of epochs that the schedule is laid out for.
    seed: seed of the network's new layers, the order of the images, and the augmentation.
    precision: `auto`, `bfloat16`, `float16` or `float32`. A study resolves `auto` once, before its
    first trial. `float16` is for GPUs that don't compute bfloat16
    (`trainables.training.loss_scaling`).
    deterministic: whether a GPU uses operations that give equal numbers in equal calls, where there
    are such (`trainables.training.gpu_settings`). On a CPU, this changes nothing.
    compile: whether training runs through `torch.compile`, which compiles once per architecture and
    process and needs a compiler.
    """

    network: str
    image_size: int = 64
    normalise: str = "dataset"
    stem: str = "imagenet"
    weights: str = "none"
    freeze_depth: int = 0
    views: int = 0
    head_width: int = 0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    class_weighting: float = 0.0
    ema: float = 0.0
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    policy: str = "none"
    policy_magnitude: int | None = None
    cutout: float = 0.0
    flip: bool = False
    crop: float = 0.0
    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float | None = None
    schedule: str = "cosine"
    cycles: int | None = None
    warmup_epochs: float = 0.0
    step_epochs: int | None = None
    step_factor: float | None = None
    batch_size: int = 64
    micro_batch_size: int | None = None
    epochs: int = 30
    seed: int = 0
    precision: str = "auto"
    deterministic: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        errors = [*_type_errors(self)] or [*_value_errors(self)]
        if errors:
            raise ConfigError(errors)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Builds a configuration from plain values. Raises `ConfigError`, also for unknown keys."""
        known = cls.__dataclass_fields__
        hint = f"known fields are {', '.join(known)}."
        unknown = {key: did_you_mean(key, known, hint) for key in values if key not in known}
        errors = [f"{k} is not a field of a trial configuration; {h}" for k, h in unknown.items()]
        if "network" not in values:
            errors.append(f"network must be one of {_names(NETWORKS)}, but it is missing.")
        try:
            config = cls(
                **{"network": "resnet18"} | {k: v for k, v in values.items() if k in known}
            )
        except ConfigError as error:
            errors += error.errors
        if errors:
            raise ConfigError(errors)
        return config

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> Self:
        """Builds a configuration from a file, which an older version may have written.

        Older versions wrote `step_epochs` and `step_factor` beside every schedule; this function
        drops them if they don't matter. Raises `ConfigError` as `from_dict` does.
        """
        idle = {n for n in ONCE_UNCONDITIONAL if values.get("schedule", "cosine") != "step"}
        return cls.from_dict({name: value for name, value in values.items() if name not in idle})

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as strings, numbers and booleans, without those that are `None`."""
        # Not by `asdict`, which copies each value: a search asks for thousands of configurations.
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in values if value is not None}

    def but(self, **changes: Any) -> Self:
        """Returns a copy of the configuration with some fields changed. Raises `ConfigError`."""
        return replace(self, **changes)

    def effective_value(self, name: str) -> Any:
        """Returns the value of a conditional field that training uses.

        This is the field's value, or `CONDITIONAL_DEFAULTS` if the field matters and isn't set, or
        `None` if it doesn't matter.
        """
        owner, value = CONDITIONAL[name]
        setting = getattr(self, name)
        if setting is None and getattr(self, owner) == value:
            return CONDITIONAL_DEFAULTS[name]
        return setting

    def with_defaults(self) -> Self:
        """Returns a copy of the configuration with every conditional field that matters set."""
        return self.but(**{name: self.effective_value(name) for name in CONDITIONAL})


def _names(values: Any) -> str:
    """Returns the values as one text, sorted and separated by commas."""
    return ", ".join(sorted(values))


_KINDS = {int: "a whole number", bool: "true or false", str: "text", float: "a finite number"}
"""Every field has one of these types; an error message names the type in these words."""


def _type_errors(c: TrialConfig) -> list[str]:
    """Returns a sentence about each field whose value has the wrong type.

    The rules for values come after these and may compare freely.
    """
    return [
        f"{name} must be {_KINDS[kind]}, but got {name}={getattr(c, name)!r}."
        for name, kind, optional in _field_types()
        if not (_is_of(kind, value := getattr(c, name)) or (optional and value is None))
    ]


@cache
def _field_types() -> list[tuple[str, type, bool]]:
    """Returns (name, type, whether it may be `None`) for each field."""
    types = ((f.name, get_args(f.type) or (f.type,)) for f in fields(TrialConfig))
    return [(name, kind, bool(optional)) for name, (kind, *optional) in types]


def _is_of(kind: type, value: object) -> bool:
    """Returns whether a value has one of the types in `_KINDS`; whole numbers are also floats."""
    if kind is float:
        return _is_of(int, value) or (isinstance(value, float) and math.isfinite(value))
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _value_errors(c: TrialConfig) -> list[str]:
    """Returns a sentence about each field whose value breaks a rule; all types are right."""
    rules: list[tuple[bool, str, str]] = [
        (c.network in NETWORKS or is_external(c.network), "network",
         f"must be one of {_names(NETWORKS)}, or timm:NAME or torchvision:NAME"),
        (32 <= c.image_size <= 224, "image_size", "must lie in 32…224 pixels"),
        (c.normalise in NORMALISATIONS, "normalise", f"must be one of {_names(NORMALISATIONS)}"),
        (c.stem in STEMS, "stem", f"must be one of {_names(STEMS)}"),
        (c.stem == "imagenet" or c.weights == "none", "stem",
         "must be imagenet, as by --set stem=imagenet, when pretrained weights are used "
         "(their stem is 7×7)"),
        (c.weights != "", "weights", "must be none, imagenet or a file"),
        (0 <= c.views <= MAX_VIEWS, "views", f"must lie in 0…{MAX_VIEWS}"),
        (0 <= c.head_width <= 8192, "head_width", "must lie in 0…8192 (0: none)"),
        (0 <= c.dropout < 1, "dropout", "must lie in [0, 1)"),
        (0 <= c.label_smoothing < 1, "label_smoothing", "must lie in [0, 1)"),
        (0 <= c.cutout < 1, "cutout", "must lie in [0, 1) of the image side"),
        (0 <= c.crop <= 0.5, "crop", "must lie in 0…0.5 of the image side"),
        (c.optimizer in OPTIMIZERS, "optimizer", f"must be one of {_names(OPTIMIZERS)}"),
        (c.lr > 0, "lr", "must be > 0"),
        (c.weight_decay >= 0, "weight_decay", "must be ≥ 0"),
        (c.schedule in SCHEDULES, "schedule", f"must be one of {_names(SCHEDULES)}"),
        (0 <= c.warmup_epochs <= max(c.epochs, 0), "warmup_epochs", "must lie in 0…epochs"),
        (c.warmup_epochs == 0 or c.schedule != "one-cycle", "warmup_epochs",
         "must be 0 with schedule=one-cycle, which warms up by itself"),
        (2 <= c.batch_size <= MAX_BATCH, "batch_size",
         f"must lie in 2…{MAX_BATCH} (BatchNorm needs two images)"),
        (c.micro_batch_size is None or 2 <= c.micro_batch_size <= MAX_BATCH, "micro_batch_size",
         f"must lie in 2…{MAX_BATCH} (BatchNorm needs two images)"),
        (1 <= c.epochs <= MAX_EPOCHS, "epochs", f"must lie in 1…{MAX_EPOCHS}"),
        (0 <= c.seed <= MAX_SEED, "seed", f"must lie in 0…{MAX_SEED}"),
        (c.stem == "imagenet" or not is_external(c.network), "stem",
         "must be imagenet for a library's network, whose first layer is its own"),
        (0 <= c.freeze_depth <= 1000, "freeze_depth", "must lie in 0…1000"),
        (not (c.compile and is_external(c.network)), "compile",
         "must be false for a library's network, whose stages don't run apart"),
        (c.precision in PRECISIONS, "precision", f"must be one of {_names(PRECISIONS)}"),
        (c.class_weighting >= 0, "class_weighting", "must be ≥ 0"),
        (0 <= c.ema < 1, "ema", "must lie in [0, 1)"),
        (c.mixup_alpha >= 0, "mixup_alpha", "must be ≥ 0"),
        (c.cutmix_alpha >= 0, "cutmix_alpha", "must be ≥ 0"),
        (c.policy in POLICIES, "policy", f"must be one of {_names(POLICIES)}"),
        *conditional_rules(c),
        *network_rules(c),
    ]  # fmt: skip
    return [f"{n} {rule}, but got {n}={getattr(c, n)!r}." for good, n, rule in rules if not good]
