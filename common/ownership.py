"""Signs what this user writes, so that it can be distinguished later from what others have sent.

The signatures are made with a key of 32 random bytes in a file that only this user may read. They
cover content and no path, so that a copy of one's own folder stays one's own.
"""

import contextlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from common.files import checksum

_KEY_BYTES = 32


def key_path() -> Path:
    """Returns where this user's key lies or would lie. Raises `RuntimeError` where the user has no
    home.
    """
    data = os.environ.get("XDG_DATA_HOME", "")
    folder = Path(data) if data.startswith("/") else Path.home() / ".local" / "share"
    return folder / "tiny-imagenet-search" / "signing-key"


def sign(kind: str, value: Any) -> str | None:
    """Returns the signature of plain values, or `None` where this user can have no key.

    kind: what the values are; a signature of one kind is none of another.
    """
    try:
        key = _make_key()
    except (OSError, RuntimeError):
        return None
    return _signature(key, kind, value)


def is_signed(kind: str, value: Any, signature: object) -> bool:
    """Returns whether `sign` has made this signature of these values for the present user."""
    try:
        expected = _signature(_read_key(key_path()), kind, value)
    except (OSError, RuntimeError, ValueError):  # a value that JSON lacks, too
        return False
    return isinstance(signature, str) and hmac.compare_digest(
        signature.encode("utf-8", "replace"), expected.encode()
    )


def why_unsigned() -> str | None:
    """Returns why nothing can be signed, as a phrase, or `None` where it can."""
    try:
        _make_key()
    except OSError as error:
        return f"{error.filename or key_path()}: {error.strerror or error}"
    except RuntimeError:
        return "this user has no home folder"
    return None


def _signature(key: bytes, kind: str, value: Any) -> str:
    return hmac.digest(key, f"{kind}:{checksum(value)}".encode(), "sha256").hex()


def _make_key() -> bytes:
    """Returns the key, and makes it where there is none. Of several processes that make one at the
    same time, one succeeds. Raises `OSError` and `RuntimeError`.
    """
    path = key_path()
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        new.unlink(missing_ok=True)  # a killed process of this number left it
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(new)
        finally:
            new.unlink(missing_ok=True)
    return _read_key(path)


def _read_key(path: Path) -> bytes:
    """Returns the key. Raises `OSError` also for a key that others may know or have made."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        found = os.fstat(file.fileno())
        key = file.read(_KEY_BYTES + 1) if stat.S_ISREG(found.st_mode) else b""
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or len(key) != _KEY_BYTES:
        raise OSError(
            0, f"it must have {_KEY_BYTES} bytes, and belong and be open to you alone", str(path)
        )
    return key
