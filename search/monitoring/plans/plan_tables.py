"""Makes the tables of a dry run: what is searched, and the first configurations."""

from dataclasses import fields

from rich.table import Table

from search.monitoring.console import format_parameter
from search.planning.plan import Plan
from trainables.config import TrialConfig


def table_of_ranges(plan: Plan) -> Table:
    """Returns a table with a row for each range; those that depend on a choice name it."""
    table = Table("parameter", "range", "baseline", title="Searched", title_justify="left")
    for each in plan.searched.ranges:
        baseline = format_parameter(getattr(plan.baseline, each.name))
        prior = plan.searched.priors.get(each.name)
        belief = f" (prior: {prior})" if prior else ""
        table.add_row(each.name, each.describe() + belief, baseline)
    return table


def table_of_configs(plan: Plan) -> Table:
    """Returns a table of the first configurations, with a row for each field that differs."""
    table = Table(title="First configurations", title_justify="left")
    table.add_column("parameter")
    for number in range(len(plan.preview)):
        table.add_column("baseline" if number == 0 else f"trial {number}", justify="right")
    for name in (*plan.ranges, *_following(plan)):
        table.add_row(name, *(format_parameter(getattr(config, name)) for config in plan.preview))
    return table


def _following(plan: Plan) -> list[str]:
    """Returns the names of fields that aren't searched but differ between the first configurations,
    because they follow from those that are.
    """
    names = (each.name for each in fields(TrialConfig) if each.name not in plan.ranges)
    return [name for name in names if len({getattr(each, name) for each in plan.preview}) > 1]
