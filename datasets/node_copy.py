"""A node's own copy of prepared data, for searching: without the test images."""

import hashlib
from dataclasses import replace
from pathlib import Path

from common.files import lock_folder
from common.remote import Place
from datasets.access import TRAIN_FILE
from datasets.manifest import FILE_NAME, Manifest, parse_manifest, read_manifest, write_manifest
from datasets.spec import DatasetError


def has_copy(directory: Path, fingerprint: str) -> bool:
    """Whether prepared data of that fingerprint lies there, its files as long as they must be."""
    try:
        return read_manifest(directory).fingerprint == fingerprint
    except DatasetError:
        return False


def copy_data(place: Place, fingerprint: str, directory: Path) -> Path:
    """`directory` with a copy of the data in `place`, fetched first where it isn't there yet.

    One process of the machine fetches, the others wait. What has arrived is compared with the
    manifest's checksum, and the manifest with the fingerprint wanted, before anything is used.
    Raises `DatasetError` where it differs or is missing, and `OSError`.
    """
    if has_copy(directory, fingerprint):
        return directory
    with lock_folder(directory):
        if not has_copy(directory, fingerprint):  # another process may have fetched it meanwhile
            manifest = _manifest(place, fingerprint, directory)
            _fetch_train(place, manifest, directory)
            kept = {TRAIN_FILE: manifest.files[TRAIN_FILE]}
            write_manifest(replace(manifest, files=kept), directory)
    return directory


def check(place: Place, fingerprint: str, directory: Path) -> None:
    """Raises `DatasetError` unless `place` holds data of that fingerprint.

    Only its manifest is fetched, into `directory`, and removed again.
    """
    _manifest(place, fingerprint, directory)


def _manifest(place: Place, fingerprint: str, directory: Path) -> Manifest:
    path = directory / f".fetched-{FILE_NAME}"
    if not place.fetch(FILE_NAME, path):
        raise DatasetError(
            f"{place} must hold the prepared data, but {FILE_NAME} is missing there; copy the "
            "folder that datasets.prepare made."
        )
    try:
        manifest = parse_manifest(path)
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
    arrived = directory / f".fetched-{TRAIN_FILE}"
    try:
        if not place.fetch(TRAIN_FILE, arrived):
            raise DatasetError(f"{place} must hold {TRAIN_FILE}, but lacks it; copy it there.")
        with arrived.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        wanted = manifest.files[TRAIN_FILE]["sha256"]
        if found != wanted:
            raise DatasetError(
                f"{TRAIN_FILE} from {place} must have sha256 {wanted[:12]}…, but has "
                f"{found[:12]}…; copy it there anew."
            )
        arrived.replace(directory / TRAIN_FILE)
    finally:
        arrived.unlink(missing_ok=True)
