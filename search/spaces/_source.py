"""Finds the files that a space is written in: its own, and those beside it that it imports."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path


def source_files(path: Path, package: str) -> list[Path]:
    """Returns the file at `path`, and then those files of its folder that it imports, directly or
    through one another. The space must have been imported before, as a module of `package`.
    """
    found = [path.resolve()]
    for file in found:
        for name in _imported(ast.parse(file.read_bytes()), package):
            module = sys.modules.get(name)
            origin = Path(getattr(module, "__file__", None) or "").resolve()
            beside = origin.parent == found[0].parent and origin.name != "__init__.py"
            if beside and origin.is_file() and origin not in found:
                found.append(origin)
    return found


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Yields the names of all modules that a module of `package` may import, wherever the import
    stands. What is imported from a package may itself be a module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{each.name}" for each in node.names)
