"""Checks in a moment whether everything that a search needs is installed, without importing heavy
packages.

This module must be imported before anything else of the project, and needs nothing but Python
itself.
"""

from __future__ import annotations  # so that an old Python gets as far as its own sentence

import ctypes
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The project's root folder contains pyproject.toml and the packages."""
ROOMS = ("search", "trainables", "datasets", "results", "common")
"""These folders of the project's root are its packages."""
START = "start from {root} with `python -m …`, and leave PYTHONPATH empty."
"""This makes Python find our packages on a command line."""
IN_PYTHON = (
    "begin the program, or the notebook after a restart of its kernel, with `import sys; "
    "sys.path.insert(0, '{root}')`, before it imports another package of that name."
)
"""This makes Python find our packages in a program or a notebook."""
OLDEST_PYTHON = (3, 11)
"""The project needs at least this version of Python."""


class PreflightError(Exception):
    """Reports what is missing; `errors` holds one sentence for each piece, with its remedy."""

    # Like `common.errors.UserError`, which an old Python or a foreign package of that name would
    # keep from being imported before this could be reported.

    def __init__(self, errors: list[str]) -> None:
        super().__init__(" ".join(errors))
        self.errors = errors

    def __reduce__(self) -> tuple[type[PreflightError], tuple[list[str]]]:
        return type(self), (self.errors,)


def _python_error() -> list[str]:
    version = tuple(sys.version_info[:3])
    if version >= OLDEST_PYTHON:
        return []
    found = ".".join(map(str, version))
    return [
        f"Python must be 3.11 or newer, but this is {found}; type `make setup PYTHON=python3.12`."
    ]


def foreign_packages(root: Path, remedy: str = START) -> list[str]:
    """Returns one sentence for each of the project's folders that Python would import from outside
    of `root`.

    Another project's package of that name, such as Hugging Face's `datasets`, would run in its
    place. The function is simple enough to run in a Ray worker, with the root that the worker
    should use.

    remedy: what makes Python find ours, with a place for the root.
    """
    errors = []
    for name in ROOMS:
        found = _location(name)
        if found is None or found != (root / name).resolve():
            where = f"finds {found}" if found else "finds no such package"
            errors.append(
                f"`{name}` must be the folder in {root}, but Python {where}; "
                f"{remedy.format(root=root)}"
            )
    return errors


def _location(name: str) -> Path | None:
    """Returns the folder that `import name` would load, without importing it, or `None` where there
    is no such package.
    """
    try:
        spec = find_spec(name)
    except ValueError:  # a module without a spec was created by hand and isn't the project's
        return None
    if spec is None:
        return None
    if spec.origin is not None:
        return Path(spec.origin).resolve().parent
    folders = list(spec.submodule_search_locations or [])
    return Path(folders[0]).resolve() if folders else None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _requirements(root: Path) -> list[str]:
    import tomllib  # new in Python 3.11, the oldest version allowed

    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["dependencies"])


def required(root: Path) -> list[str]:
    """Returns the names of the packages that `pyproject.toml` requires."""
    return [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in _requirements(root)]


def versions(names: list[str]) -> dict[str, str | None]:
    """Returns the installed versions of these packages, by name, with `None` for a package that
    isn't installed. The nodes of a cluster call this function too, although they have no
    `pyproject.toml`.
    """
    return {name: _version(name) for name in names}


def _dependency_errors(root: Path) -> list[str]:
    """Returns one sentence for each conflict between what `pyproject.toml` requires and what is
    installed.
    """
    lines, names = _requirements(root), required(root)
    absent = [name for name in names if _version(name) is None]
    errors = []
    if absent:
        errors.append(
            f"Python packages must be installed, but {sys.executable} lacks {', '.join(absent)}; "
            f"type `make setup`, then start with {root / '.venv/bin/python'}."
        )
    if "packaging" not in absent:
        present = [line for line, name in zip(lines, names, strict=True) if name not in absent]
        errors += [error for line in present for error in _requirement_errors(line)]
    return errors


def _requirement_errors(line: str) -> list[str]:
    from packaging.requirements import Requirement  # the caller has checked that it is installed

    wanted = Requirement(line)
    found = metadata.version(wanted.name)
    errors = []
    if not wanted.specifier.contains(found, prereleases=True):
        errors.append(
            f"{wanted.name} must be {wanted.specifier}, but {found} is installed; "
            "type `make setup`."
        )
    for extra in sorted(wanted.extras):
        lacking = _lacking_for(wanted.name, extra)
        if lacking:
            errors.append(
                f"{wanted.name} must be installed as {wanted.name}[{extra}], but "
                f"{', '.join(lacking)} is missing; type `make setup`."
            )
    return errors


def _lacking_for(name: str, extra: str) -> list[str]:
    """Returns the distributions that an extra of an installed distribution requires and that aren't
    installed.
    """
    from packaging.requirements import Requirement

    lines = metadata.requires(name) or []  # Ray has six hundred, which take 20 ms to parse
    wanted = [Requirement(line) for line in lines if re.search(rf"""["']{extra}["']""", line)]
    return sorted(
        {
            each.name
            for each in wanted
            if each.marker
            and each.marker.evaluate({"extra": extra})
            and not each.marker.evaluate({"extra": ""})
            and _version(each.name) is None
        }
    )


def _torchvision_errors() -> list[str]:
    """Returns one sentence where torchvision doesn't match torch. torchvision 0.N belongs to torch
    2.(N - 15), and a CPU build to a CPU build.

    A mismatched pair installs without an error, but fails at import with «operator torchvision::nms
    does not exist». The source is the table in torchvision's README.
    """
    torch, vision = _version("torch"), _version("torchvision")
    if torch is None or vision is None:
        return []
    torch_minor, vision_minor = (re.match(r"(\d+)\.(\d+)", text) for text in (torch, vision))
    same_release = (
        torch_minor is None
        or vision_minor is None
        or (torch_minor[1], vision_minor[1]) != ("2", "0")
        or int(vision_minor[2]) - 15 == int(torch_minor[2])
    )
    if same_release and torch.endswith("+cpu") == vision.endswith("+cpu"):
        return []
    return [
        "torchvision must be of torch's release and build, but torch "
        f"{torch} and torchvision {vision} are installed; type `make setup`, or install both "
        "from one index in one command."
    ]


def _ffcv_errors() -> list[str]:
    """Returns one sentence for each problem of FFCV: what compiling it needs where it isn't
    installed, or why it can't be loaded where it is.
    """
    if _version("ffcv") is None:
        return _build_errors()
    built = [file for file in metadata.files("ffcv") or [] if file.name.startswith("_libffcv")]
    try:
        for file in built:
            ctypes.CDLL(str(file.locate()))
    except OSError as error:
        return [
            f"ffcv must be loadable, but its compiled part isn't ({error}); type "
            "`.venv/bin/pip install --force-reinstall --no-deps --no-cache-dir ffcv==1.0.2` "
            "to build it against the libraries of this system."
        ]
    return []


def _build_errors() -> list[str]:
    pieces = [
        ("a C++ compiler", shutil.which("c++") is not None, "build-essential"),
        ("Python's headers", _has_python_headers(), "python3-dev"),
    ]
    if shutil.which("pkg-config") is None:
        # Without pkg-config FFCV's build fails with «Could not find required package: opencv».
        pieces.append(("pkg-config", False, "pkg-config libopencv-dev libturbojpeg0-dev"))
    else:
        pieces.append(("OpenCV 4's headers", _has_library("opencv4"), "libopencv-dev"))
        pieces.append(("TurboJPEG's headers", _has_library("libturbojpeg"), "libturbojpeg0-dev"))
    return [
        f"{what} must be installed to build ffcv, but can't be found; type `make setup`, or "
        f"`apt-get install {package}`."
        for what, found, package in pieces
        if not found
    ]


def _has_python_headers() -> bool:
    return Path(sysconfig.get_paths()["include"], "Python.h").is_file()


def _has_library(name: str) -> bool:
    command = ["pkg-config", "--exists", name]
    return subprocess.run(command, check=False).returncode == 0


def missing(root: Path = ROOT, remedy: str = START) -> list[str]:
    """Returns one sentence for each missing piece: what must be there, what was found, and what to
    type.

    The list is empty when a search can start. The function reads package metadata, runs pkg-config,
    and imports nothing heavy. If Python itself is too old, nothing else is checked. For `remedy`
    see `foreign_packages`.
    """
    return _python_error() or [
        *foreign_packages(root, remedy),
        *_dependency_errors(root),
        *_torchvision_errors(),
        *_ffcv_errors(),
    ]


def check(remedy: str = START) -> None:
    """Raises `PreflightError` with one sentence for each missing piece, if there is any. For
    `remedy` see `foreign_packages`.
    """
    errors = missing(remedy=remedy)
    if errors:
        raise PreflightError(errors)


def refuse(errors: list[str]) -> int:
    """Prints a line for each error, as `common.cli.refuse` does; returns the exit code, 2."""
    for sentence in errors:
        print(f"error: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    found = missing()
    sys.exit(refuse(found) if found else 0)
