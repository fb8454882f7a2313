"""Finds what a run that came from elsewhere names outside of its folder, which is used only where
the user names it too.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.cli import quote_command
from common.files import file_sha256
from common.text import HIDDEN
from results.analysis.run_records import is_own_run
from results.store import MANIFEST, RunError
from search.config.command_line import resolve
from search.config.options import SearchOptions, flag_of
from search.security import loopback

_PLACES = ("space", "source", "data", "weights", "address", "data_uri", "storage",
           "dashboard_host", "mlflow", "wandb")  # fmt: skip
"""These options name a file, a place, a server or code. `out` and `name` aren't among them, because
`--resume` names the folder itself, nor is `warm_start`, which only a new run reads.
"""


def check_options(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Raises `RunError` where the options of a run in `directory`, or its name, don't have the
    types with which options are compared.
    """
    options, name = manifest.get("options"), manifest.get("name")
    if isinstance(options, dict) and isinstance(name, str | None):
        fixed, named = options.get("set", []), options.get("name", "")
        texts = isinstance(fixed, list) and all(isinstance(each, str) for each in fixed)
        if texts and isinstance(named, str):
            return
    raise RunError(
        f"{directory / MANIFEST} must hold options as a search writes them, but doesn't; restore "
        "it from a copy."
    )


def find_foreign_faults(
    directory: Path,
    saved: Mapping[str, Any],
    searched: Mapping[str, Any],
    layers: Sequence[Mapping[str, Any]],
    words: Sequence[str],
) -> list[str]:
    """Returns a sentence for what the run in `directory` names outside of its folder although this
    user neither wrote the run nor gives the same options now; none where there is nothing.

    saved: the options in the run's manifest.
    searched: the manifest's entry for the space, with the checksums of its files.
    layers: the options given now.
    words: the words of the command line, which the sentence repeats.

    Raises `RunError` where the manifest can't be read.
    """
    if is_own_run(directory) and _has_own_space(directory, str(saved["space"]), searched):
        return []
    faults = []
    if links := [str(path) for path in _links_out_of(directory)]:
        faults.append(
            f"--resume: a run from elsewhere must hold no links out of its folder, but "
            f"{', '.join(links)} {'are such' if len(links) > 1 else 'is one'}; remove them, or "
            "put the files there themselves."
        )
    given = {key for layer in layers for key in layer}
    flags = [
        f"--{flag_of(key)}={saved[key]}"
        for key in _PLACES
        if key not in given and HIDDEN not in str(saved[key]) and _leaves(key, str(saved[key]))
    ]
    fixed = _fixed_weights(saved)
    if fixed and _leaves("weights", fixed) and not any(map(_fixed_weights, layers)):
        flags.append(f"--set=weights={fixed}")
    if flags:
        command = quote_command("python -m search.run", *words, *flags)
        faults.append(
            f"--resume: nothing that {directory} names outside of its folder is used before you "
            "name it too, because the run isn't signed with your key; if you trust it, go on by "
            f"`{command}`."
        )
    return faults


def _has_own_space(directory: Path, space: str, searched: Mapping[str, Any]) -> bool:
    """Returns whether the run doesn't search its own copy of the space, or the copy's files are as
    the manifest records them.
    """
    path = Path(space)
    if path.suffix != ".py" or not path.resolve().is_relative_to(directory.resolve()):
        return True
    known = {(each["name"], each["sha256"]) for each in searched.get("files", ())}
    return {(file.name, file_sha256(file)) for file in path.parent.glob("*.py")} <= known


def _leaves(key: str, value: str) -> bool:
    """Returns whether an option with this value names something outside of the run's folder that
    every search without the option doesn't use too.
    """
    if key == "space":
        return value.endswith(".py")
    if key == "dashboard_host":
        return not loopback(value)
    return value not in ("none", "imagenet", getattr(SearchOptions(), key))


def _fixed_weights(options: Mapping[str, Any]) -> str | None:
    """Returns the weights that the option `set` fixes, if it does."""
    fixed = resolve({"set": options.get("set", ())})[0].set
    return dict(item.split("=", 1) for item in fixed).get("weights")


def _links_out_of(directory: Path) -> Iterator[Path]:
    """Yields the links in a run's folder that lead out of it."""
    inside = directory.resolve()
    for folder, folders, files in os.walk(directory):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                yield path
