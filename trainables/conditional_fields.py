"""Lists the fields of a configuration that matter only beside one choice of another field."""

from typing import Any

CONDITIONAL = {
    "momentum": ("optimizer", "sgd"),
    "policy_magnitude": ("policy", "rand"),
    "cycles": ("schedule", "cyclical"),
    "step_epochs": ("schedule", "step"),
    "step_factor": ("schedule", "step"),
}
"""Each of these fields matters beside this value of another field, and is `None` beside any
other.
"""

CONDITIONAL_DEFAULTS: dict[str, int | float] = {
    "momentum": 0.0,
    "policy_magnitude": 9,
    "cycles": 1,
    "step_epochs": 7,
    "step_factor": 0.1,
}
"""A conditional field has this value if it matters and the configuration doesn't set it."""

MAX_EPOCHS = 100_000
"""A training has at most this many epochs."""

ONCE_UNCONDITIONAL = ("step_epochs", "step_factor")
"""Earlier versions wrote these fields beside every schedule, because they weren't conditional
then.
"""


def conditional_rules(c: Any) -> list[tuple[bool, str, str]]:
    """Returns rules for the conditional fields of the `TrialConfig` `c`.

    Each holds whether the configuration follows the rule, the field's name, and what the field must
    be. The first rules allow a field only beside the choice that it belongs to; the others limit
    its range.
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
        (c.cycles is None or 1 <= c.cycles <= MAX_EPOCHS, "cycles",
         f"must lie in 1…{MAX_EPOCHS}"),
        (c.step_epochs is None or 1 <= c.step_epochs <= MAX_EPOCHS, "step_epochs",
         f"must lie in 1…{MAX_EPOCHS}"),
        (c.step_factor is None or 0 < c.step_factor <= 1, "step_factor", "must lie in (0, 1]"),
    ]  # fmt: skip
