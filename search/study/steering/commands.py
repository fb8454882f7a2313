"""Reads the commands by which a user steers a running search."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from common.durations import seconds_of
from common.errors import UserError
from common.text import did_you_mean
from results.side_store import SteeringAction

BASELINE_WORD = "--from-baseline"
"""After `try`, this word fills what isn't named with the baseline's values."""

USAGE = {
    SteeringAction.STOP: "stop TRIAL",
    SteeringAction.TRY: f"try NAME=VALUE ... [{BASELINE_WORD}]",
    SteeringAction.BUDGET: "budget [+]DURATION, [+]N trials or [+]HOURS gpu-hours",
    SteeringAction.CONCURRENCY: "concurrency N",
    SteeringAction.END: "end",
}
"""Each command is written like this."""


class SteeringError(UserError):
    """Reports a command that a search can't carry out; the message names rule, value and remedy."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Asks for the end of the trial with this number."""

    trial: int


@dataclass(frozen=True, slots=True)
class Try:
    """Asks for a trial with these values of parameters, as texts by name. The others have those of
    the best trial so far, or the baseline's.
    """

    values: Mapping[str, str]
    from_baseline: bool = False


@dataclass(frozen=True, slots=True)
class ChangeBudget:
    """Asks for another limit: `seconds` of time, `trials` or `gpu_hours`, one of which is given. It
    takes the place of the present one, or is `added` to it.
    """

    added: bool
    seconds: float | None = None
    trials: int | None = None
    gpu_hours: float | None = None


@dataclass(frozen=True, slots=True)
class SetConcurrency:
    """Asks for at most so many trials at the same time."""

    at_once: int


@dataclass(frozen=True, slots=True)
class End:
    """Asks for the end of the search, as if its budget were used up."""


Command: TypeAlias = Stop | Try | ChangeBudget | SetConcurrency | End


def read_command(words: Sequence[str]) -> Command:
    """Returns the command that a user has typed. Raises `SteeringError` for any other words."""
    name = words[0] if words else ""
    if name not in set(SteeringAction):
        known = ", ".join(SteeringAction)
        hint = did_you_mean(name, list(SteeringAction), otherwise="see --help.")
        raise SteeringError(f"A command must be one of {known}, but got {name!r}; {hint}")
    action = SteeringAction(name)
    if (command := _READERS[action](words[1:])) is None:
        rest = " ".join(words[1:])
        raise SteeringError(f"{name} must be given as `{USAGE[action]}`, but got {rest!r}.")
    return command


def _read_stop(words: Sequence[str]) -> Stop | None:
    return Stop(int(words[0])) if len(words) == 1 and _is_whole(words[0]) else None


def _read_try(words: Sequence[str]) -> Try | None:
    items = [word.partition("=") for word in words if word != BASELINE_WORD]
    if not items or not all(name and sign for name, sign, _ in items):
        return None
    names = [name for name, _, _ in items]
    for name in names:
        if names.count(name) > 1:
            raise SteeringError(
                f"try must name a parameter once, but names {name} {names.count(name)} times; "
                "leave out all but one."
            )
    return Try({name: text for name, _, text in items}, BASELINE_WORD in words)


def _read_budget(words: Sequence[str]) -> ChangeBudget | None:
    amount = words[0].removeprefix("+") if words else ""
    added = bool(words) and words[0].startswith("+")
    unit = "".join(words[1:]).removesuffix("s")
    if not unit and (seconds := seconds_of(amount)):
        return ChangeBudget(added, seconds=seconds)
    if unit == "trial" and _is_whole(amount) and int(amount):
        return ChangeBudget(added, trials=int(amount))
    number = re.fullmatch(r"\d{1,9}(\.\d{1,9})?", amount)
    if unit == "gpu-hour" and number and float(amount):
        return ChangeBudget(added, gpu_hours=float(amount))
    return None


def _read_concurrency(words: Sequence[str]) -> SetConcurrency | None:
    return SetConcurrency(int(words[0])) if len(words) == 1 and _is_whole(words[0]) else None


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"\d{1,9}", text) is not None


_READERS: Mapping[SteeringAction, Callable[[Sequence[str]], Command | None]] = {
    SteeringAction.STOP: _read_stop,
    SteeringAction.TRY: _read_try,
    SteeringAction.BUDGET: _read_budget,
    SteeringAction.CONCURRENCY: _read_concurrency,
    SteeringAction.END: lambda words: None if words else End(),
}
"""Each function reads the words behind its command, and returns `None` where they aren't right."""
