"""A run that goes on: its folder brought here, and the options it was started with."""

from dataclasses import asdict
from pathlib import Path
from typing import Any


def saved_options(name: str, out: str, layers: list[dict[str, Any]]) -> dict[str, Any]:
    """What the run was started with. Raises `OptionsError` where `layers` change its results.

    A run that isn't here is fetched from the `storage` that they name.
    """
    from common.errors import UserError
    from common.text import HIDDEN, redacted
    from results.store import read_manifest
    from search.config.options import RESUMABLE, OptionsError, SearchOptions

    storage = next((layer["storage"] for layer in reversed(layers) if layer.get("storage")), "")
    try:
        _fetch_run(Path(out) / name, str(storage))
        # An option that the run is older than had its default.
        saved: dict[str, Any] = asdict(SearchOptions()) | read_manifest(Path(out) / name)["options"]
    except (UserError, OSError) as error:
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
        from search.session.backup import backup_place, restore_run

        restore_run(backup_place(storage, directory.name), directory)
