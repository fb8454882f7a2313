"""Shows spaces: one line each, what a check has found, and both as JSON."""

import json
from collections.abc import Iterator
from typing import Any

from common.cli import quote_command
from common.errors import UserError
from results.analysis.searched_ranges import SearchedRange
from search.monitoring.console import format_parameter
from search.planning.space_check import DRAWN, NetworkCost, SpaceReport
from search.planning.space_walk import COUNTED
from search.spaces import find_space, space_names
from trainables.config import TrialConfig

SCHEMA = 1
"""The version of what `--json` prints. Fields may be added to it; any other change raises it."""


def show_spaces() -> int:
    """Prints one line for each space of the project and returns exit code 0."""
    width = max(len(name) for name in space_names())
    for name in space_names():
        try:
            summary = find_space(name).summary
        except UserError as error:
            summary = f"({error})"
        print(f"{name:<{width}}  {summary}")
    return 0


def list_as_json() -> str:
    """Returns the project's spaces as JSON."""
    spaces = [{"name": name, **_facts(name)} for name in space_names()]
    return _dump({"schema": SCHEMA, "spaces": spaces})


def _facts(name: str) -> dict[str, Any]:
    space = find_space(name)
    return {
        "summary": space.summary,
        "dataset": space.dataset,
        "baseline": space.baseline.to_dict(),
    }


def report_as_json(report: SpaceReport) -> str:
    """Returns what a check has found as JSON."""
    return _dump(
        {
            "schema": SCHEMA,
            "name": report.name,
            "sound": not report.errors,
            "errors": list(report.errors),
            "notes": list(report.notes),
            "drawn": DRAWN,
            **(_facts(report.name) if report.space else {}),
            "ranges": [_range(each, report) for each in report.ranges],
            "configurations": report.size,
            "continuous": list(report.continuous),
            "networks": [
                {
                    "network": each.network,
                    "parameters_m": each.parameters_m,
                    "image_size": each.image_size,
                    "gmacs": each.gmacs,
                    "memory_bytes": each.memory_bytes,
                }
                for each in report.networks
            ],
        }
    )


def _range(each: SearchedRange, report: SpaceReport) -> dict[str, Any]:
    found = each.distribution
    names = ("choices", "low", "high", "step", "log")
    values = {name: getattr(found, name) for name in names if hasattr(found, name)}
    prior = report.priors.get(each.name)
    return {
        "parameter": each.name,
        "kind": type(found).__name__.removesuffix("Distribution").lower(),
        **values,
        "condition": None if each.condition is None else [dict(case) for case in each.condition],
        "baseline": getattr(report.space.baseline, each.name, None) if report.space else None,
        "prior": {"value": prior.value, "confidence": prior.confidence} if prior else None,
    }


def _dump(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)


def describe_report(report: SpaceReport) -> Iterator[str]:
    """Yields the lines of what a check has found, without its errors."""
    space = report.space
    if space is None:
        return
    yield f"{report.name}: {space.summary}"
    yield f"images: {space.dataset}"
    default = TrialConfig(network=space.baseline.network).to_dict()
    shown = {k: v for k, v in space.baseline.to_dict().items() if v != default.get(k)}
    yield "baseline: " + ", ".join(
        f"{k} {format_parameter(v)}"
        for k, v in {"network": space.baseline.network, **shown}.items()
    )
    yield f"searched: {len({each.name for each in report.ranges})} parameters"
    for each in report.ranges:
        prior = report.priors.get(each.name)
        yield (
            f"  {each.describe()}".replace("  ", f"  {each.name}: ", 1)
            + f", baseline {format_parameter(getattr(space.baseline, each.name, None))}"
            + (f" (prior: {prior})" if prior else "")
        )
    yield f"configurations: {_size(report)}"
    for cost in report.networks:
        yield f"costs: {_cost(cost)}"
    for note in report.notes:
        yield f"note: {note}"


def _size(report: SpaceReport) -> str:
    if report.continuous:
        return f"infinitely many ({', '.join(report.continuous)} without a step)"
    if report.size is None:
        return f"more than {COUNTED:,}" if not report.errors else "not counted"
    return f"{report.size:,}"


def _cost(cost: NetworkCost) -> str:
    if cost.gmacs is None or cost.parameters_m is None:
        return f"{cost.network}: what it costs is known to its library only"
    return (
        f"{cost.network}, {cost.parameters_m:g} million parameters, {cost.gmacs:.3g}·10⁹ "
        f"multiply-adds for an image of {cost.image_size} px, at most "
        f"{cost.memory_bytes / (1 << 30):.1f} GiB for a trial on a core"
    )


def describe_verdict(report: SpaceReport) -> str:
    """Returns the last line of a check."""
    if report.errors:
        count = len(report.errors)
        return f"{count} {'mistake' if count == 1 else 'mistakes'}."
    command = quote_command("python -m search.run", "--space", report.name, "--dry-run")
    return f"Sound, by {DRAWN:,} random configurations. What a search would do: {command}"
