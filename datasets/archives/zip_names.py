"""Reads the names of a zip archive's entries, of which many don't state their encoding."""

import struct
import zipfile
import zlib

from common.text import printable
from datasets.census.code_pages import FORMAT_OWN, UTF8
from datasets.spec import DatasetError

_UTF8_FLAG = 0x800
"""This bit of an entry's flags says that the entry's name is UTF-8."""
_UNICODE_PATH = 0x7075
"""An extra field with this number holds the name in UTF-8, as Info-ZIP writes it."""


def read_name(entry: zipfile.ZipInfo, encoding: str | None) -> tuple[str, str | None]:
    """Returns an entry's name, and the encoding that was assumed if the entry states none.

    A name that isn't marked as UTF-8 is read in `encoding`. Without one, it is read as UTF-8 where
    its bytes allow it, because macOS and some Linux programs leave the mark out, and else in code
    page 437, the format's own. Raises `DatasetError` for a name that isn't in `encoding`.
    """
    name = entry.orig_filename
    if entry.flag_bits & _UTF8_FLAG:
        return name, None
    raw = name.encode(FORMAT_OWN)  # zipfile has decoded it so, and every byte has a character
    if (found := _unicode_path(entry.extra, raw)) is not None:
        return found, None
    if name.isascii():
        return name, None
    for each in [encoding] if encoding else [UTF8, FORMAT_OWN]:
        try:
            return raw.decode(each), each
        except UnicodeError:
            continue
    raise DatasetError(
        f"--zip-encoding must be that of all unmarked names in the archive, but "
        f"{printable(name)!r} can't be read as {encoding}; name another encoding, or leave the "
        "option out."
    )


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """Returns the name in an entry's extra fields, or `None` if there is none for this name."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        # The field holds its version, the CRC-32 of the name that it stands for, and the name.
        if kind == _UNICODE_PATH and field[1:5] == struct.pack("<I", zlib.crc32(raw)):
            try:
                return field[5:].decode(UTF8)
            except UnicodeError:
                return None
    return None
