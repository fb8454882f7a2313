"""Lists the fields of a configuration that matter only beside one choice of another field."""

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

ONCE_UNCONDITIONAL = ("step_epochs", "step_factor")
"""Earlier versions wrote these fields beside every schedule, because they weren't conditional
then.
"""
