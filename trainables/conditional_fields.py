"""Which fields of a configuration count beside one choice only."""

CONDITIONAL = {
    "momentum": ("optimizer", "sgd"),
    "policy_magnitude": ("policy", "rand"),
    "cycles": ("schedule", "cyclical"),
    "step_epochs": ("schedule", "step"),
    "step_factor": ("schedule", "step"),
}
"""Fields that count beside one value of another field only, and are `None` beside any other."""

LEFT_OUT: dict[str, int | float] = {
    "momentum": 0.0,
    "policy_magnitude": 9,
    "cycles": 1,
    "step_epochs": 7,
    "step_factor": 0.1,
}
"""What each of them is where it counts and isn't given."""

ONCE_UNCONDITIONAL = ("step_epochs", "step_factor")
"""Written beside every schedule by versions before these two became conditional."""
