"""Prepares a run for its resumption: fetches its folder, and reads the options it began with."""

from dataclasses import asdict
from pathlib import Path
from typing import Any


def saved_options(name: str, out: str, layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the options that the run was started with.

    layers: the options given now, of which later ones win. A run that isn't on this machine is
        fetched from the storage in them.

    Raises `OptionsError` where the run can't be read, or where an option would change its results.
    """
    from common.errors import UserError
    from common.text import HIDDEN, redacted
    from results.store import read_manifest
    from search.config.options import RESUMABLE, OptionsError, SearchOptions, flag_of

    storage = next((layer["storage"] for layer in reversed(layers) if layer.get("storage")), "")
    try:
        _fetch_run(Path(out) / name, str(storage))
        # Options that didn't exist when the run began had their defaults.
        saved: dict[str, Any] = asdict(SearchOptions()) | read_manifest(Path(out) / name)["options"]
    except (UserError, OSError) as error:
        raise OptionsError([f"--resume: {error}"]) from error
    changed = [
        f"--{flag_of(key)} can't change when a run goes on (it was {saved.get(key)!r}); "
        "leave it out, or start a new run."
        for layer in layers
        for key, value in layer.items()
        if key in saved and redacted(str(value)) != str(saved[key])
        if key not in RESUMABLE or (key == "weights" and not _are_files(value, saved[key]))
    ]
    given = {key for layer in layers for key in layer}
    changed += [
        f"--{flag_of(key)} must be given again when a run goes on, because it was recorded "
        f"without its secret ({saved[key]!r})."
        for key in saved.keys() - given
        if HIDDEN in str(saved[key])
    ]
    if changed:
        raise OptionsError(changed)
    return saved | {"name": name, "out": out}


def _are_files(*weights: Any) -> bool:
    """Returns whether all of these values of the option `weights` name files."""
    return not {"", "none", "imagenet"} & set(map(str, weights))


def _fetch_run(directory: Path, storage: str) -> None:
    """Restores the run's folder from its copy in `storage`, unless it is on this machine."""
    if storage and not (directory / "manifest.json").exists():
        from search.session.backup import backup_place, restore_run

        restore_run(backup_place(storage, directory.name), directory)
