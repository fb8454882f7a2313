"""What holds for the options that log trials elsewhere too."""

import re
from importlib.util import find_spec


def tracking_rules(mlflow: str, wandb: str) -> list[tuple[bool, str, str]]:
    """(whether it holds, the option's name, the rule) of each."""
    return [
        (not mlflow or installed("mlflow"), "mlflow",
         "needs a package that isn't installed (pip install '.[mlflow]')"),
        (not wandb or installed("wandb"), "wandb",
         "needs a package that isn't installed (pip install '.[wandb]')"),
        (not mlflow or "://" in mlflow or mlflow == "databricks", "mlflow",
         "must be an address, such as sqlite:///mlflow.db or http://localhost:5000"),
        (re.fullmatch(r"([\w.-]+/)?[\w.-]+", wandb or "x") is not None, "wandb",
         "must be PROJECT or ENTITY/PROJECT"),
    ]  # fmt: skip


def installed(package: str) -> bool:
    """Whether it can be imported; it isn't."""
    return find_spec(package) is not None
