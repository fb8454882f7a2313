"""Opens a source without extracting it: a folder or a zip archive."""

import hashlib
import stat
import zipfile
from pathlib import Path

from common.regular_files import irregular_kind
from datasets.archives.folder_tree import FolderTree
from datasets.archives.limits import LARGEST_FILE_BYTES, limit_error, max_unpacked_bytes
from datasets.archives.tar import TarTree
from datasets.archives.zip_tree import ZipTree, entry_path
from datasets.spec import DatasetError, Source, Tree


def open_tree(path: Path, zip_encoding: str | None = None) -> Source:
    """Returns the tree at `path`, a folder or a zip archive.

    zip_encoding: the encoding of names in the archive that aren't marked as UTF-8; by default it is
    guessed.

    Raises `DatasetError` for a missing path and for a file that is no zip archive. Raises
    `DatasetError` also for an archive that unpacks to far more than its size, or with an entry that
    would land outside its folder, is a link, is encrypted or is too large.
    """
    if path.is_dir():
        if zip_encoding is not None:
            raise DatasetError(
                f"--zip-encoding is for zip archives, but {path} is a folder; leave it out."
            )
        return FolderTree(path)
    if not path.is_file():
        raise DatasetError(
            f"The source must be a zip archive or a folder, but {path} is "
            f"{irregular_kind(path) or 'missing'}; check the path."
        )
    tree = ZipTree(path, zip_encoding)
    for entry in tree.archive.infolist():
        fault = _fault(entry, zip_encoding)
        if fault:
            raise DatasetError(
                f"{path} is refused: its entry {entry.orig_filename!r} {fault}; "
                "use an archive from a source that you trust, or pass the extracted folder."
            )
    whole = sum(entry.file_size for entry in tree.archive.infolist())
    if whole > max_unpacked_bytes(path.stat().st_size):
        raise limit_error(path, f"its {path.stat().st_size:,} bytes unpack to {whole:,}")
    return tree


def fingerprint(tree: Tree) -> str:
    """Returns a sha256 that tells sources apart without reading their files.

    For a folder, the hash covers every path and size; for a zip archive, it also covers every
    CRC-32; for a tar.gz archive, it covers the archive's size and CRC-32. So two folders look the
    same if their files differ in content but not in size.
    """
    digest = hashlib.sha256()
    if isinstance(tree, TarTree):
        return tree.fingerprint()
    if isinstance(tree, ZipTree):
        for path, entry in tree.entries().items():
            digest.update(f"{path}\0{entry.file_size}\0{entry.CRC:08x}\n".encode())
    else:
        for path, size in tree.files().items():
            digest.update(f"{path}\0{size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _fault(entry: zipfile.ZipInfo, zip_encoding: str | None) -> str | None:
    """Returns what makes an entry unacceptable, as the end of a sentence, or `None`."""
    try:
        entry_path(entry, zip_encoding)
    except ValueError as error:
        return str(error)
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a symbolic link"
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.file_size > LARGEST_FILE_BYTES:
        return f"unpacks to {entry.file_size:,} bytes"
    return None
