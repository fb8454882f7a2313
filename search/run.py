"""Search for the configuration that generalises best: `python -m search.run --space resnet50`."""

import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from search.preflight import PreflightError, check


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 0 done, 1 no result, 2 refused, 130 interrupted."""
    try:
        check()
        return _main(arguments)
    except PreflightError as error:
        return _refuse(error.errors)
    except KeyboardInterrupt:
        print("interrupted before the search began", file=sys.stderr)
        return 130


def _main(arguments: list[str] | None) -> int:
    # The rest of the project needs what the preflight has just found.
    from results.redaction import redacted
    from search.execute import SearchError, execute
    from search.extending import more_trials
    from search.options import ACTIONS, OptionsError, parse, read_yaml, resolve
    from search.plan import make_plan
    from search.show import show_plan, show_spaces

    given, unknown = parse(arguments)
    actions = {name: given.pop(name, None) for name in ACTIONS}
    if actions["list"]:
        return show_spaces()
    resumed = actions["resume"]
    try:
        layers = [read_yaml(Path(actions["config"]))] if actions["config"] else []
        saved = (
            saved_options(resumed, given.get("out", "runs"), [*layers, given]) if resumed else None
        )
        unknown += more_trials([*layers, given], saved)
    except OptionsError as error:
        return _refuse(unknown + error.errors, redacted)
    options, errors = resolve(saved or {}, *layers, given)
    plan, more = make_plan(options, resuming=bool(resumed))
    if unknown or errors or more or plan is None:
        return _refuse(unknown + errors + more, redacted)
    if actions["dry_run"]:
        return show_plan(plan)
    try:
        return execute(plan, resuming=bool(resumed), verbose=bool(actions["verbose"]))
    except SearchError as error:
        return _refuse(error.errors, redacted)


def saved_options(name: str, out: str, layers: list[dict[str, Any]]) -> dict[str, Any]:
    """What the run was started with. Raises `OptionsError` where `layers` change its results."""
    from results.redaction import HIDDEN, redacted
    from results.store import RunError, read_manifest
    from search.options import RESUMABLE, Options, OptionsError

    try:
        # An option that the run is older than had its default.
        saved: dict[str, Any] = asdict(Options()) | read_manifest(Path(out) / name)["options"]
    except RunError as error:
        raise OptionsError([f"--resume: {error}"]) from error
    changed = [
        f"--{key.replace('_', '-')} can't change when a run goes on (it was {saved.get(key)!r}); "
        "leave it out, or start a new run."
        for layer in layers
        for key, value in layer.items()
        if key not in RESUMABLE and key in saved and redacted(str(value)) != str(saved[key])
    ]
    given = {key for layer in layers for key in layer}
    changed += [
        f"--{key.replace('_', '-')} must be given again when a run goes on, for it was recorded "
        f"without the secret in it ({saved[key]!r})."
        for key in saved.keys() - given
        if HIDDEN in str(saved[key])
    ]
    if changed:
        raise OptionsError(changed)
    return saved | {"name": name, "out": out}


def _refuse(errors: list[str], hide: Callable[[str], str] = str) -> int:
    for error in errors:
        print(f"error: {hide(error)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is written and Ray is down: Python would take most of a second to free its memory.
    os._exit(code)
