"""Holds files in memory that were made from a source in a format of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path


class MemoryTree:
    """A `MemoryTree` is a `Tree` of files in memory, all made from the source at `root`."""

    def __init__(self, root: Path, contents: Mapping[str, bytes]) -> None:
        self.root = root
        self._contents = contents

    def files(self) -> dict[str, int]:
        """Returns the path and the size in bytes of every file, sorted by path."""
        return {path: len(content) for path, content in sorted(self._contents.items())}

    def read(self, path: str) -> bytes:
        """Returns the content of one file. Raises `KeyError` for a path that isn't listed."""
        return self._contents[path]

    def part(self, paths: Sequence[str]) -> "MemoryTree":
        """Returns a tree that holds only the files at these paths."""
        return MemoryTree(self.root, {path: self._contents[path] for path in paths})
