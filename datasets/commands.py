"""Writes the command that prepares a dataset as a remedy shows it."""

from pathlib import Path

from common.cli import quote_command


def prepare_command(
    name: str,
    source: Path | None,
    data: Path,
    zip_encoding: str | None,
    size: int | None = None,
    val: float | None = None,
    **flags: bool,
) -> str:
    """Returns the command with these arguments as it can be pasted into a shell."""
    words: list[object] = [] if source is None else ["--source", source]
    words += [] if zip_encoding is None else ["--zip-encoding", zip_encoding]
    words += [] if size is None else ["--size", size]
    words += [] if val is None else ["--val", val]
    words += [f"--{flag.replace('_', '-')}" for flag, is_set in flags.items() if is_set]
    return quote_command("python -m datasets.prepare", name, *words, data=data)
