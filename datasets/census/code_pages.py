"""Describes in which encoding a zip archive's names were read that aren't marked as UTF-8."""

from typing import TypedDict

UTF8, FORMAT_OWN = "utf-8", "cp437"
"""Unmarked names are read as UTF-8 where their bytes allow it, and else as the format has it."""


class CodePage(TypedDict):
    """This mapping describes the reading of an archive's unmarked names.

    encoding: Python's name of the encoding.
    guessed: whether the user didn't name it.
    names: the number of files whose names were read in it.
    example: the printable path of the first of them.
    """

    encoding: str
    guessed: bool
    names: int
    example: str


def describe_code_page(found: CodePage | None, command: str) -> list[str]:
    """Returns a line about names that were read in an encoding which may be wrong.

    command: prepares the data again; an encoding completes it.
    """
    if found is None or not found["guessed"] or found["encoding"] == UTF8:
        return []
    names = f"{found['names']:,} name{'s' if found['names'] > 1 else ''}"
    return [
        f"guessed: {names} in the archive that state no encoding are read in "
        f"{found['encoding']}, as {found['example']}; if that looks wrong, name their encoding, "
        f"as with `{command} --zip-encoding cp1252`"
    ]
