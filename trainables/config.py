"""Defines a trial's configuration: one frozen record that checks itself."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from common.errors import UserError
from common.text import did_you_mean
from trainables.catalog import NETWORKS, STEMS, is_external
from trainables.conditional_fields import CONDITIONAL, CONDITIONAL_DEFAULTS, ONCE_UNCONDITIONAL

NORMALISATIONS = ("dataset", "half", "imagenet", "unit")
"""`TrialConfig.normalise` has one of these values."""
OPTIMIZERS = ("adam", "adamw", "sgd")
"""`TrialConfig.optimizer` has one of these values."""
SCHEDULES = ("constant", "cosine", "cyclical", "one-cycle", "step")
"""`TrialConfig.schedule` has one of these values."""
POLICIES = ("none", "rand", "trivial")
"""`TrialConfig.policy` has one of these values."""
PRECISIONS = ("auto", "bfloat16", "float32")
"""`TrialConfig.precision` has one of these values."""


class ConfigError(UserError, ValueError):
    """This error says that a configuration breaks rules; `errors` holds one sentence for each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialConfig:
    """A `TrialConfig` holds everything that decides a trial.

    The constructor raises `ConfigError`, which lists every broken rule at once.

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
    precision: `auto`, `bfloat16` or `float32`. A study resolves `auto` once, before its first
    trial.
    compile: whether training runs through `torch.compile`, which compiles once per architecture and
    process and needs a compiler.
    """

    network: str
    image_size: int = 64
    normalise: str = "dataset"
    stem: str = "imagenet"
    weights: str = "none"
    freeze_depth: int = 0
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
    compile: bool = False

    def __post_init__(self) -> None:
        errors = [*_type_errors(self)] or [*_value_errors(self)]
        if errors:
            raise ConfigError(errors)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Builds a configuration from plain values. Raises `ConfigError`, also for unknown keys."""
        known = [f.name for f in fields(cls)]
        unknown = [key for key in values if key not in known]
        errors = [_unknown_key(key, known) for key in unknown]
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
        return {name: value for name, value in asdict(self).items() if value is not None}

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
        return (
            CONDITIONAL_DEFAULTS[name]
            if setting is None and getattr(self, owner) == value
            else setting
        )

    def with_defaults(self) -> Self:
        """Returns a copy of the configuration in which every conditional field that matters is
        set.
        """
        return self.but(**{name: self.effective_value(name) for name in CONDITIONAL})


def _unknown_key(key: str, known: list[str]) -> str:
    hint = did_you_mean(key, known, f"known fields are {', '.join(known)}.")
    return f"{key} is not a field of a trial configuration; {hint}"


def _names(values: Any) -> str:
    """Returns the values as one text, sorted and separated by commas."""
    return ", ".join(sorted(values))


def _type_errors(c: TrialConfig) -> list[str]:
    """Returns a sentence about each field whose value has the wrong type.

    These are checked before the rules for values, which may then compare freely.
    """
    errors = []
    for f in fields(c):
        value = getattr(c, f.name)
        if f.type is int or f.type == int | None:
            whole = isinstance(value, int) and not isinstance(value, bool)
            good, wanted = whole or (value is None and f.type is not int), "a whole number"
        elif f.type is bool:
            good, wanted = isinstance(value, bool), "true or false"
        elif f.type is str:
            good, wanted = isinstance(value, str), "text"
        else:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            good = (number and math.isfinite(value)) or (value is None and f.type is not float)
            wanted = "a finite number"
        if not good:
            errors.append(f"{f.name} must be {wanted}, but got {f.name}={value!r}.")
    return errors


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
        (c.batch_size >= 2, "batch_size", "must be ≥ 2 (BatchNorm needs two images)"),
        (c.micro_batch_size is None or c.micro_batch_size >= 2, "micro_batch_size",
         "must be ≥ 2 (BatchNorm needs two images)"),
        (c.epochs >= 1, "epochs", "must be ≥ 1"),
        (c.seed >= 0, "seed", "must be ≥ 0"),
        (c.stem == "imagenet" or not is_external(c.network), "stem",
         "must be imagenet for a library's network, whose first layer is its own"),
        (c.freeze_depth >= 0, "freeze_depth", "must be ≥ 0"),
        (not (c.compile and is_external(c.network)), "compile",
         "must be false for a library's network, whose stages don't run apart"),
        (c.precision in PRECISIONS, "precision", f"must be one of {_names(PRECISIONS)}"),
        *_regularisation_rules(c),
        *_conditional_rules(c),
    ]  # fmt: skip
    errors = [f"{n} {rule}, but got {n}={getattr(c, n)!r}." for good, n, rule in rules if not good]
    facts = NETWORKS.get(c.network)
    if facts:
        deepest = len(facts.stages)
        if c.freeze_depth > deepest:
            errors.append(
                f"freeze_depth must lie in 0…{deepest} for {c.network} "
                f"({', '.join(facts.stages)}), but got freeze_depth={c.freeze_depth}."
            )
        if c.stem in STEMS and c.stem not in facts.stems:
            errors.append(
                f"stem must be imagenet for {c.network}, whose first layer is its own, but got "
                f"stem={c.stem!r}."
            )
        if c.weights == "imagenet" and not facts.pretrained:
            errors.append(
                f"weights must be none or a file for {c.network}, which has no ImageNet weights, "
                "but got weights='imagenet'."
            )
    return errors


def _regularisation_rules(c: TrialConfig) -> list[tuple[bool, str, str]]:
    """Returns rules for regularisation, each with whether the configuration follows the rule,
    the field's name, and what the field must be.
    """
    return [
        (c.class_weighting >= 0, "class_weighting", "must be ≥ 0"),
        (0 <= c.ema < 1, "ema", "must lie in [0, 1)"),
        (c.mixup_alpha >= 0, "mixup_alpha", "must be ≥ 0"),
        (c.cutmix_alpha >= 0, "cutmix_alpha", "must be ≥ 0"),
        (c.policy in POLICIES, "policy", f"must be one of {_names(POLICIES)}"),
    ]


def _conditional_rules(c: TrialConfig) -> list[tuple[bool, str, str]]:
    """Returns rules for conditional fields, in the form of `_regularisation_rules`.

    The first rules allow a field only beside the choice that it belongs to; the others limit its
    range.
    """
    rules = [
        (getattr(c, name) is None or getattr(c, owner) == value, name,
         f"goes with {owner}={value} only")
        for name, (owner, value) in CONDITIONAL.items()
    ]  # fmt: skip
    return [
        *rules,
        (c.momentum is None or 0 <= c.momentum < 1, "momentum", "must lie in [0, 1)"),
        (c.policy_magnitude is None or 0 <= c.policy_magnitude <= 30, "policy_magnitude",
         "must lie in 0…30"),
        (c.cycles is None or c.cycles >= 1, "cycles", "must be ≥ 1"),
        (c.step_epochs is None or c.step_epochs >= 1, "step_epochs", "must be ≥ 1"),
        (c.step_factor is None or 0 < c.step_factor <= 1, "step_factor", "must lie in (0, 1]"),
    ]  # fmt: skip
