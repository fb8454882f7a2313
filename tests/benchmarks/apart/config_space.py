"""The task's space for rivals that use ConfigSpace."""

from typing import Any

from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer


def configuration_space(task: dict[str, Any]) -> ConfigurationSpace:
    space = ConfigurationSpace(seed=task["seed"])
    for name, each in task["space"].items():
        if "choices" in each:
            space.add(Categorical(name, each["choices"]))
        else:
            kind = Integer if each["whole"] else Float
            space.add(kind(name, (each["low"], each["high"]), log=each["log"]))
    return space


def plain(config: Any) -> dict[str, Any]:
    """A configuration's parameters as JSON takes them, without numpy's types."""
    return {k: v.item() if hasattr(v, "item") else v for k, v in dict(config).items()}
