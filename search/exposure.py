"""Who reaches what a search starts: this machine alone, unless it is asked to be open to others."""

import ipaddress
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

AUTH_MODE, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"


def loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`; never of a name but localhost."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_required(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether Ray asks everybody for its token, as it does unless a variable turns that off."""
    mode = environment.get(AUTH_MODE)
    return mode is None or mode.lower() == "token"


def how_to_enter() -> str:
    """What the dashboard asks for, in words."""
    if token_required():
        return "it asks for a token: type `ray get-auth-token`"
    return f"it asks for no token, as {AUTH_MODE} says"


def stay_on_this_machine() -> None:
    """Has all of Ray's servers listen on 127.0.0.1 instead of on every address. Call it before Ray
    is imported.

    Not only the dashboard listens: ports for metrics answer anybody, without a token. The variable
    is what Ray itself goes by on systems where it can't be a cluster.
    """
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def keep_token_private() -> None:
    """Takes Ray's token from the machine's other users, for whom Ray's file is readable."""
    path = Path(os.environ.get(TOKEN_PATH) or Path.home() / ".ray" / "auth_token")
    with suppress(OSError):  # there is none, or it is somebody else's to keep
        path.chmod(0o600)
