"""Loads the file of a space with those beside it that it imports, without a trace on Python's path.

Each space's file has a package of its own in `sys.modules`, with a name that nothing else has, for
itself and for the files of its folder that it imports. A statement `from _ranges import lr` is
looked up there, so that no name of a folder can stand for another module, two folders may have
files of the same name, and two spaces of one folder share nothing.
"""

import builtins
import sys
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from sysconfig import get_path
from types import CodeType, ModuleType
from typing import Any

from search.space import SpaceError

PREFIX = "space_files_"
"""The name of a space's package begins with this."""

_INSTALLED = ("purelib", "platlib")
"""`sysconfig` knows by these names where packages are installed."""

_OURS = ("common", "datasets", "results", "search", "tests", "tools", "trainables")


def package_of(path: Path) -> str:
    """Returns the name of the package that holds the space's file at `path`, and those Python files
    in its folder that it imports.
    """
    return PREFIX + sha256(str(path.resolve()).encode()).hexdigest()[:12]


def load_file(path: Path) -> ModuleType:
    """Returns the module that the file at `path` defines, read anew together with everything that
    it imports from its folder. Raises whatever the file raises.
    """
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)  # before the finder of files, which takes any package
    package = package_of(path)
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{package}.")]:
        del sys.modules[name]
    folder = ModuleType(package)
    folder.__path__ = [str(path.resolve().parent)]
    sys.modules[package] = folder
    name = f"{package}.{path.stem.replace('.', '_')}"
    spec = _spec_of_file(name, path.resolve())
    module = module_from_spec(spec)
    sys.modules[name] = module
    _Loader(name, str(path.resolve())).exec_module(module)
    return module


class _Finder:
    """Finds the modules in the packages of spaces, and no others."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns how to load a file or a folder in `path`, the folders of its package."""
        if not name.startswith(PREFIX) or path is None:
            return None
        for folder in map(Path, path):
            place = folder / name.rpartition(".")[2]
            for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
                if file.is_file():
                    return _spec_of_file(name, file)
            if place.is_dir():
                spec = ModuleSpec(name, None, is_package=True)
                spec.submodule_search_locations = [str(place)]
                return spec
        return None


def _spec_of_file(name: str, file: Path) -> ModuleSpec:
    whole = file.name == "__init__.py"
    spec = ModuleSpec(name, _Loader(name, str(file)), origin=str(file), is_package=whole)
    if whole:
        spec.submodule_search_locations = [str(file.parent)]
    spec.has_location = True
    return spec


class _Loader(SourceFileLoader):
    """Loads a module from its source. Python's cache of compiled files would take the file of
    before for one that was changed within a second to another text of equal length.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Returns the compiled source of the module."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module, whose import statements find what lies beside the space's file. Python
        takes the function for them from the `__builtins__` of the module, now and later.
        """
        package = module.__name__.partition(".")[0]
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": _importer(package)}
        super().exec_module(module)


def _importer(package: str) -> Any:
    """Returns the function that import statements in the modules of `package` call."""

    def import_module(
        name: str,
        scope: Mapping[str, Any] | None = None,
        own: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        wanted, top = fromlist or (), name.partition(".")[0]
        beside = None if level else _find_beside(package, top)
        if beside is None:
            return builtins.__import__(name, scope, own, wanted, level)
        if not _is_known(top, beside):
            found = builtins.__import__(f"{package}.{name}", scope, own, wanted, 0)
            return found if wanted else sys.modules[f"{package}.{top}"]
        try:
            found = builtins.__import__(name, scope, own, wanted, 0)
            lacking = [each for each in wanted if each != "*" and not hasattr(found, each)]
        except ModuleNotFoundError as error:
            lacking = [error.name or name]
        if lacking:
            raise SpaceError(
                f"A file beside a space must have a name of its own, but {beside} has that of "
                f"another module, {top}, which is imported in its place and has no "
                f"{', '.join(lacking)}; rename the file."
            )
        return found

    return import_module


def _find_beside(package: str, top: str) -> Path | None:
    """Returns the file or folder of this name in the folder of a package, if Python code is in it
    and may be meant.
    """
    spec = _Finder.find_spec(f"{package}.{top}", sys.modules[package].__path__)
    if spec is None:
        return None
    if spec.origin:
        return Path(spec.origin)
    folder = Path((spec.submodule_search_locations or [""])[0])
    return folder if any(folder.glob("**/*.py")) else None


def _is_known(top: str, beside: Path) -> bool:
    """Returns whether a name is that of a module of Python, of this project or of an installed
    package. A file that is only found because Python's path leads to it is none of these.
    """
    if top in _OURS or top in sys.stdlib_module_names:
        return True
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return top in sys.modules
    if spec is None or spec.origin is None or Path(spec.origin).resolve() == beside.resolve():
        return False
    return any(Path(spec.origin).is_relative_to(place) for place in map(get_path, _INSTALLED))


def modules_beside(path: Path) -> Iterator[ModuleType]:
    """Yields the modules that the space's file at `path` has imported from its folder so far, the
    packages among them included.
    """
    package = package_of(path)
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{package}.") and getattr(module, "__file__", None):
            yield module
