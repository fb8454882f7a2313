"""Prepares a run for its resumption: fetches its folder, and reads the options it began with."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any


def find_run(resumed: str, layers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Returns the options `name` and `out` of the run that `--resume` names: by its name under the
    option `out` of `layers`, or by the path of its folder.
    """
    from search.config.options import SearchOptions

    out = next((layer["out"] for layer in reversed(layers) if "out" in layer), SearchOptions().out)
    path = Path(resumed)
    by_path = path.name != str(path)
    return {"name": path.name, "out": str(path.parent if by_path else out)}


def has_begun(place: Mapping[str, str], layers: Sequence[Mapping[str, Any]]) -> bool:
    """Returns whether the run at `place` exists, on this machine or in the storage of `layers`,
    from which it is fetched then.

    Raises `OptionsError` where the storage can't be asked: the run may be there, and must not begin
    a second time.
    """
    from common.errors import UserError
    from search.config.options import OptionsError

    directory = Path(place["out"]) / place["name"]
    try:
        _fetch_run(directory, _storage_of(layers))
    except (UserError, OSError) as error:
        raise OptionsError([f"--resume-or-start: {error}"]) from error
    return (directory / "manifest.json").exists()


def saved_options(
    place: Mapping[str, str], layers: Sequence[Mapping[str, Any]], words: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns the options that the run at `place` was started with.

    place: the options `name` and `out` of the run, as `find_run` returns them.
    layers: the options given now, of which later ones win. A run that isn't on this machine is
        fetched from the storage in them.
    words: the words of the command line, for an error that names the command to give instead.

    Raises `OptionsError` where the run can't be read, where an option would change its results, and
    where a run that this user hasn't written names something outside of its folder that `layers`
    don't name.
    """
    from common.errors import UserError
    from common.text import HIDDEN
    from results.store import read_manifest
    from search.config.options import OptionsError, SearchOptions, flag_of
    from search.session.foreign_runs import check_options, find_foreign_faults

    directory = Path(place["out"]) / place["name"]
    try:
        _fetch_run(directory, _storage_of(layers))
        manifest = read_manifest(directory)
        check_options(directory, manifest)
    except (UserError, OSError) as error:
        raise OptionsError([f"--resume: {error}"]) from error
    # Options that didn't exist when the run began had their defaults.
    saved: dict[str, Any] = asdict(SearchOptions()) | manifest["options"]
    # Versions that didn't refuse a field that `set` names twice used the last of its values.
    saved["set"] = list({item.partition("=")[0]: item for item in saved["set"]}.values())
    names = {place["name"], manifest.get("name"), saved["name"]}
    changed = [
        f"--{flag_of(key)} can't change when a run goes on (it was {saved[key]!r}); "
        "leave it out, or start a new run."
        for key in _changed_options(saved, layers, names)
    ]
    given = {key for layer in layers for key in layer}
    changed += [
        f"--{flag_of(key)} must be given again when a run goes on, because it was recorded "
        f"without its secret ({saved[key]!r})."
        for key in saved.keys() - given
        if HIDDEN in str(saved[key])
    ]
    searched = manifest.get("searched", {})
    changed += find_foreign_faults(directory, saved, searched, layers, words)
    if changed:
        raise OptionsError(changed)
    return {**saved, **place}


def _changed_options(
    saved: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], names: set[str]
) -> list[str]:
    """Returns the options that decide a run's results and have another value in `layers` than in
    the `saved` ones. Values are compared after resolving, so that 5e-2 equals 0.05.

    names: the present and earlier names of the run, any of which the command line, which is the
        last layer, may have. Other layers may have any name, because `--resume` names the run.
    """
    from common.text import redacted_values
    from search.config.command_line import fixed_fields, resolve
    from search.config.options import RESUMABLE

    before, after = (
        redacted_values(asdict(options) | {"set": fixed_fields(options)})
        for options, _ in (resolve(saved), resolve(saved, *layers))
    )
    # A file of weights may have moved: its content is compared, not its path.
    weights = [
        each["set"].pop("weights", None) or each["weights"] or saved["weights"]
        for each in (before, after)
    ]
    if not _are_files(*weights) and weights[0] != weights[1]:
        before["set"]["weights"], after["set"]["weights"] = weights
    decisive = {
        key
        for layer in layers
        for key, value in layer.items()
        if key not in RESUMABLE or (key == "weights" and not _are_files(value, saved[key]))
    }
    if layers[-1].get("name") in {None, *names}:
        decisive.discard("name")
    return [key for key in after if key in decisive and after[key] != before[key]]


def _are_files(*weights: Any) -> bool:
    """Returns whether all of these values of the option `weights` name files."""
    return not {"", "none", "imagenet"} & set(map(str, weights))


def _storage_of(layers: Sequence[Mapping[str, Any]]) -> str:
    return str(next((each["storage"] for each in reversed(layers) if each.get("storage")), ""))


def _fetch_run(directory: Path, storage: str) -> None:
    """Restores the run's folder from its copy in `storage`, unless it is on this machine."""
    if storage and not (directory / "manifest.json").exists():
        from search.session.backup import backup_place, restore_run

        restore_run(backup_place(storage, directory.name), directory)
