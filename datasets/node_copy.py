"""Copies prepared data to a node that searches, without the test images."""

from dataclasses import replace
from pathlib import Path

from common.files import file_sha256, lock_folder
from common.remote import Place
from datasets.access import TRAIN_FILE
from datasets.manifest import FILE_NAME, Manifest, parse_manifest, read_manifest, write_manifest
from datasets.spec import DatasetError


def has_copy(directory: Path, fingerprint: str) -> bool:
    """Returns whether `directory` holds prepared data with this fingerprint, in files of the
    right size.
    """
    try:
        return read_manifest(directory).fingerprint == fingerprint
    except DatasetError:
        return False


def copy_data(place: Place, fingerprint: str, directory: Path) -> Path:
    """Copies the data in `place` to `directory`, unless the copy exists, and returns `directory`.

    One process of a machine copies while the others wait. Before anything is used, this function
    compares the manifest's fingerprint with `fingerprint`, and the file's sha256 with the manifest.
    Raises `DatasetError` if one of them differs or a file is missing, and `OSError` if the disk or
    the network fails.
    """
    if has_copy(directory, fingerprint):
        return directory
    with lock_folder(directory):
        if not has_copy(directory, fingerprint):  # another process may have fetched it meanwhile
            manifest = _manifest(place, fingerprint, directory)
            _fetch_train(place, manifest, directory)
            train_only = {TRAIN_FILE: manifest.files[TRAIN_FILE]}
            write_manifest(replace(manifest, files=train_only), directory)
    return directory


def check(place: Place, fingerprint: str, directory: Path) -> None:
    """Raises `DatasetError` unless `place` holds data with this fingerprint.

    This function downloads the manifest only, into `directory`, and removes the file afterwards.
    """
    _manifest(place, fingerprint, directory)


def _manifest(place: Place, fingerprint: str, directory: Path) -> Manifest:
    """Returns the manifest in `place`.

    Raises `DatasetError` if `fingerprint` isn't the manifest's.
    """
    path = directory / f".fetched-{FILE_NAME}"
    if not place.fetch(FILE_NAME, path):
        raise DatasetError(
            f"{place} must hold the prepared data, but {FILE_NAME} is missing there; copy the "
            "folder that datasets.prepare made."
        )
    try:
        manifest = parse_manifest(path)
    except DatasetError as error:
        raise DatasetError(
            f"{place} must hold a {FILE_NAME} that can be read, but it is damaged or of another "
            "version; copy the folder that datasets.prepare made there anew."
        ) from error
    finally:
        path.unlink()
    if manifest.fingerprint != fingerprint:
        raise DatasetError(
            f"{place} must hold the images that are searched on (fingerprint "
            f"{fingerprint[:16]}), but holds others ({manifest.fingerprint[:16]}); copy the folder "
            "that datasets.prepare made there anew."
        )
    return manifest


def _fetch_train(place: Place, manifest: Manifest, directory: Path) -> None:
    """Downloads the training file into `directory` and compares its sha256 with the manifest's."""
    fetched = directory / f".fetched-{TRAIN_FILE}"
    try:
        if not place.fetch(TRAIN_FILE, fetched):
            raise DatasetError(f"{place} must hold {TRAIN_FILE}, but lacks it; copy it there.")
        actual = file_sha256(fetched)
        expected = manifest.files[TRAIN_FILE]["sha256"]
        if actual != expected:
            raise DatasetError(
                f"{TRAIN_FILE} from {place} must have sha256 {expected[:12]}…, but has "
                f"{actual[:12]}…; copy it there anew."
            )
        fetched.replace(directory / TRAIN_FILE)
    finally:
        fetched.unlink(missing_ok=True)
