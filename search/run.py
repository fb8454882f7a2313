"""Search for the configuration that generalises best: `python -m search.run --space resnet50`."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.preflight import ROOT, PreflightError, check

if TYPE_CHECKING:
    from search.ray_backend.slots import Cluster


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
    from common.text import redacted
    from search.config.options import ACTIONS, OptionsError, parse, read_yaml, resolve
    from search.monitoring.plan_text import show_plan, show_spaces
    from search.planning.continuation import more_trials
    from search.planning.plan import make_plan
    from search.session.execute import execute
    from search.session.startup import SearchError

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
    if actions["quiet"] and actions["verbose"]:
        errors.append("--quiet can't go with --verbose; leave one of them out.")
    with joined(options.address if not unknown + errors else "") as (cluster, no_cluster):
        plan, more = make_plan(options, resuming=bool(resumed), cluster=cluster)
        if unknown or errors or more or no_cluster or plan is None:
            return _refuse(unknown + errors + no_cluster + more, redacted)
        if actions["dry_run"]:
            return show_plan(plan)
        try:
            return execute(
                plan,
                resuming=bool(resumed),
                verbose=bool(actions["verbose"]),
                quiet=bool(actions["quiet"]),
            )
        except SearchError as error:
            return _refuse(error.errors, redacted)


@contextmanager
def joined(address: str) -> "Iterator[tuple[Cluster | None, list[str]]]":
    """The cluster at `address`, and a sentence where it can't be joined; left at the end.

    Without an address neither: Ray is started later, on this machine.
    """
    if not address:
        yield None, []
        return
    from search.ray_backend import ray_cluster

    try:
        found = ray_cluster.join(address, ROOT)
    except ray_cluster.ClusterError as error:
        yield None, [str(error)]
        return
    from search.ray_backend.node_check import unlike

    try:
        yield found, unlike(found)
    finally:
        ray_cluster.leave()


def saved_options(name: str, out: str, layers: list[dict[str, Any]]) -> dict[str, Any]:
    """What the run was started with. Raises `OptionsError` where `layers` change its results.

    A run that isn't here is fetched from the `storage` that they name.
    """
    from common.text import HIDDEN, redacted
    from datasets.spec import DatasetError
    from results.store import RunError, read_manifest
    from search.config.options import RESUMABLE, Options, OptionsError

    storage = next((layer["storage"] for layer in reversed(layers) if layer.get("storage")), "")
    try:
        _fetch_run(Path(out) / name, str(storage))
        # An option that the run is older than had its default.
        saved: dict[str, Any] = asdict(Options()) | read_manifest(Path(out) / name)["options"]
    except (RunError, DatasetError, OSError) as error:
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


def _fetch_run(directory: Path, storage: str) -> None:
    """Makes the run's folder from its records in `storage`, where it isn't on this machine."""
    if storage and not (directory / "manifest.json").exists():
        from search.session.backup import place_of, restore

        restore(place_of(storage, directory.name), directory)


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
