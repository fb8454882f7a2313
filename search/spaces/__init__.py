"""Finds spaces by name, or by the path of a file. Each space of the project is a module in this
folder.
"""

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any

from common.text import did_you_mean
from search.space import Space, SpaceError
from search.spaces._siblings import load_file, modules_beside, package_of
from search.spaces._source import source_files

OBJECT = "space_object"
"""A space that exists only as an object in a program has this name."""

_objects: list[Space] = []
"""Holds the space of the name `OBJECT`, if the program has given one."""


def name_space(space: Space) -> str:
    """Returns the name or path by which `find_space` finds a space that a program holds: that of
    the module which defines it as `SPACE`, or `OBJECT` where none does, until the next such one.
    """
    name = getattr(space.suggest, "__module__", None)
    module = sys.modules.get(name or "")
    if name != "__main__" and getattr(module, "SPACE", None) is space:
        short = str(name).removeprefix("search.spaces.")
        if short in space_names():
            return short
        file = str(getattr(module, "__file__", None) or "")
        if file.endswith(".py") and Path(file).is_file():
            return file
    _objects[:] = [space]
    return OBJECT


def space_names() -> list[str]:
    """Returns the names of the project's spaces, sorted."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if not name.startswith("_"))


def find_space(name: str) -> Space:
    """Returns the space of this name, or the one that the Python file at this path defines as
    `SPACE`.

    Raises `SpaceError` for an unknown name, with the closest known one, and for a file that fails.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    if name == OBJECT:
        return _find_object()
    if name not in space_names():
        hint = did_you_mean(name, space_names(), f"known are {', '.join(space_names())};")
        raise SpaceError(
            f"A space must be a known name or a .py file, but got {name!r}; {hint} "
            "`python -m search.run --list` shows them all."
        )
    return _space_of(importlib.import_module(f"search.spaces.{name}"), name)


def find_space_files(name: str) -> list[Path]:
    """Returns the Python files that the space of this name or path is written in, its own file
    first. The space must have been found before, and asked for parameters, because it may import a
    file only then. An object has none.
    """
    if name == OBJECT:
        return []
    if not name.endswith(".py"):
        module = importlib.import_module(f"search.spaces.{name}")
        return source_files(Path(str(module.__file__)), __name__)
    own = source_files(Path(name), package_of(Path(name)))
    beside = sorted(Path(str(module.__file__)) for module in modules_beside(Path(name)))
    return list(dict.fromkeys([*own, *beside]))


def _find_object() -> Space:
    if not _objects:
        raise SpaceError(
            "--space must be given again where a program began the run with a Space object: go on "
            "in Python with Search.resume(…, space=…), or write SPACE = Space(…) into a file and "
            "name that."
        )
    return _objects[0]


def _from_file(path: Path) -> Space:
    if not path.is_file():
        raise SpaceError(f"The space {path} doesn't exist; give the path of a file, or a name.")
    try:
        module = load_file(path)
    except SpaceError:
        raise
    except Exception as error:
        raise SpaceError(
            f"The space {path} can't be read ({type(error).__name__}: {error}); mend the file."
        ) from error
    return _space_of(module, str(path))


def _space_of(module: Any, name: str) -> Space:
    space = getattr(module, "SPACE", None)
    if not isinstance(space, Space):
        raise SpaceError(f"The space {name} must define SPACE = Space(…); see search/spaces/.")
    return space
