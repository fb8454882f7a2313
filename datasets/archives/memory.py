"""Files made from a source's own format, in memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path


class MemoryTree:
    """Files by path -> content, all made from the source at `root`."""

    def __init__(self, root: Path, contents: Mapping[str, bytes]) -> None:
        self.root = root
        self._contents = contents

    def files(self) -> dict[str, int]:
        """Every file's path and size in bytes, in sorted order."""
        return {path: len(content) for path, content in sorted(self._contents.items())}

    def read(self, path: str) -> bytes:
        """The content of one file. Raises `KeyError` for a path that isn't listed."""
        return self._contents[path]

    def part(self, paths: Sequence[str]) -> "MemoryTree":
        """Just these files."""
        return MemoryTree(self.root, {path: self._contents[path] for path in paths})
